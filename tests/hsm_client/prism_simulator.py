"""SIMULATOR of a PrismToken-style token service. It is this project's own reading of a public interface, not the maker's device.

It speaks ``messages/prism.thrift`` over TLS, makes real tokens with ``sts`` under test keys, keeps the identifiers of each meter unique as the
interface says such a service does, and remembers results by message id. What is broken about it is broken on purpose, by `Trouble`.
As a process: ``python -m tests.hsm_client.prism_simulator DIRECTORY CERTIFICATE RUN_FILE [PORT]``, with the test keys of a module in DIRECTORY.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from thriftpy2.protocol.binary import TBinaryProtocol
from thriftpy2.thrift import TApplicationException, TMessageType
from thriftpy2.transport import TMemoryBuffer
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Factory
from twisted.protocols.basic import Int32StringReceiver

from config.state_files import write_run_file
from hsm_client.prism import exact_units
from messages.prism import PrismMessages
from security_module.minting import Mint, MintRefused
from security_module.open_store import open_keys
from security_module.registers import VendingRegister
from sts.pan import pan_of_meter
from sts.tables import PRODUCTION, load_tables
from sts.tid import is_reserved, tid_at
from vending.engineering import KeyChangeRequest
from vending.money import Tenths
from vending.ports import MintRequest

USERNAME, PASSWORD = "eudora", "a long password"
SUPPLY_GROUP_BASE = 100_000
"""Test registers share one supply group; here each has its own, this and its number."""


@dataclass
class Trouble:
    """What goes wrong.

    Attributes:
        refuse: codes that the next calls of a name are refused with, before anything is done; None in it lets one call pass.
        after: what happens to the next answers of a name, when all is done: ``silent``, ``cut`` (in the middle) or ``late``.
        key_changes_in_front: credit is answered with key-change tokens before it.
        other_amount: the token is for something else.
    """

    refuse: dict[str, list[str | None]] = field(default_factory=dict)
    after: dict[str, list[str]] = field(default_factory=dict)
    key_changes_in_front: bool = False
    other_amount: bool = False


class Refusal(Exception):
    """An ``ApiException`` of this code."""


class PrismSimulator:
    """One service with what it remembers.

    Args:
        registers: test keys by number.
    """

    def __init__(self, registers: Mapping[int, VendingRegister]) -> None:
        self.messages = PrismMessages()
        self.trouble = Trouble()
        self.made: list[Any] = []
        """Every credit token ever made, handed out or not."""
        self.calls: list[str] = []
        self.tokens: set[str] = set()
        """Access tokens that are good."""
        self._registers = registers
        self._mint = Mint(registers, load_tables(PRODUCTION))
        self._results: dict[str, list[Any]] = {}
        self._last_tids: dict[str, int] = {}

    def forget_results(self) -> None:
        """Lose the memory of message ids, as a restart may."""
        self._results.clear()

    def call(self, name: str, arguments: Any) -> Any:
        """Do one call; `Refusal` or its value."""
        self.calls.append(name)
        waiting = self.trouble.refuse.get(name)
        code = waiting.pop(0) if waiting else None
        if code is not None:
            raise Refusal(code)
        if name not in ("ping", "signInWithPassword") and arguments.accessToken not in self.tokens:
            raise Refusal("EAuthentication.Token")
        do: Callable[[Any], Any] = getattr(self, f"_{name}")
        return do(arguments)

    def _ping(self, arguments: Any) -> str:
        return str(arguments.echo)

    def _signInWithPassword(self, arguments: Any) -> str:  # noqa: N802 - the name in the interface
        if (arguments.username, arguments.password) != (USERNAME, PASSWORD):
            raise Refusal("ESignin.Password")
        token = f"access-{len(self.calls)}"
        self.tokens.add(token)
        return token

    def _fetchTokenResult(self, arguments: Any) -> list[Any]:  # noqa: N802
        if arguments.reqMessageId not in self._results:
            raise Refusal("ECacheMiss")
        return self._results[arguments.reqMessageId]

    def _issueCreditToken(self, arguments: Any) -> list[Any]:  # noqa: N802
        if arguments.messageId in self._results:
            return self._results[arguments.messageId]
        register = self._register(arguments.meterConfig)
        moment = datetime.fromtimestamp(arguments.tokenTime, UTC)
        tid = self._unique(arguments.meterConfig.drn, tid_at(moment, register.base_date))
        units = exact_units(arguments.transferAmount)
        if units is None or units < 1:
            raise Refusal("EParamRange")
        units = Tenths(units + 1) if self.trouble.other_amount else units
        request = MintRequest(
            request_id=_number(arguments.messageId),
            register_id=register.register_id,
            pan=pan_of_meter(arguments.meterConfig.drn, is_compliance_test=True),
            tariff_index=arguments.meterConfig.ti,
            encryption_algorithm=arguments.meterConfig.ea,
            subclass=arguments.subclass,
            tokens=((tid, units),),
        )
        (digits,) = self._computed(lambda: self._mint.tokens(request))
        credit = self._token(arguments.meterConfig, register, digits, 0, arguments.subclass)
        credit.tid, credit.transferAmount, credit.isReservedTid = tid, units / 10, is_reserved(tid)
        self.made.append(credit)
        front = [self._token(arguments.meterConfig, register, "1" * 20, 2, each) for each in (3, 4)]
        self._results[arguments.messageId] = [*front, credit] if self.trouble.key_changes_in_front else [credit]
        return self._results[arguments.messageId]

    def _issueKeyChangeTokens(self, arguments: Any) -> list[Any]:  # noqa: N802
        meter, new = arguments.meterConfig, arguments.newConfig
        old = self._register(meter)
        to = self._registers.get(new.toSgc - SUPPLY_GROUP_BASE)
        if to is None or to.key_revision_number != new.toKrn:
            raise Refusal("EKeystore.NotFound")
        request = KeyChangeRequest(
            request_id=_number(arguments.messageId),
            from_register_id=old.register_id,
            to_register_id=to.register_id,
            pan=pan_of_meter(meter.drn, is_compliance_test=True),
            from_tariff_index=meter.ti,
            to_tariff_index=new.toTi,
            encryption_algorithm=meter.ea,
            sections=4 if meter.ea == 11 else 3 if meter.allow3Kct else 2,
        )
        made = self._computed(lambda: self._mint.key_change(request))
        subclasses = (3, 4, 8, 9)
        tokens = [self._token(meter, old, each, 2, subclasses[at]) for at, each in enumerate(made)]
        self._results[arguments.messageId] = tokens
        return tokens

    def _verifyToken(self, arguments: Any) -> Any:  # noqa: N802
        found = next((each for each in self.made if each.tokenDec == arguments.tokenDec), None)
        verdict = "EVerify.Ok" if found else "EVerify.Crc"
        return self.messages.structures.VerifyResult(validationResult=verdict, token=found)

    def _register(self, meter: Any) -> VendingRegister:
        register = self._registers.get(meter.sgc - SUPPLY_GROUP_BASE)
        if register is None or register.key_revision_number != meter.krn:
            raise Refusal("EKeystore.NotFound")
        return register

    def _computed(self, compute: Callable[[], list[Any]]) -> list[str]:
        try:
            return [each.reveal() for each in compute()]
        except MintRefused as refused:
            raise Refusal("ESts.DrnOrPan.CheckDigit") from refused

    def _unique(self, drn: str, tid: int) -> int:
        last = self._last_tids.get(drn, -1)
        tid = max(tid, last + 1)
        self._last_tids[drn] = tid + 1 if is_reserved(tid) else tid
        return self._last_tids[drn]

    def _token(self, meter: Any, register: VendingRegister, digits: str, token_class: int, subclass: int) -> Any:
        return self.messages.structures.Token(
            drn=meter.drn,
            pan=pan_of_meter(meter.drn, is_compliance_test=True),
            ea=meter.ea,
            tct=meter.tct,
            sgc=meter.sgc,
            krn=meter.krn,
            ti=meter.ti,
            tokenClass=token_class,
            subclass=subclass,
            tid=0,
            transferAmount=0.0,
            isReservedTid=False,
            description="simulated",
            stsUnitName="kWh",
            tokenDec=digits,
            tokenHex="",
            idSm="SIMULATED",
            vkKcv=register.kcv,
        )


def _number(message_id: str) -> int:
    return int.from_bytes(sha256(message_id.encode()).digest()[:7], "big")


class Link(Int32StringReceiver):
    """One connection: frames in, answers out, in order."""

    MAX_LENGTH = 65_536
    transport: ITCPTransport

    def __init__(self, simulator: PrismSimulator) -> None:
        self._simulator = simulator
        self.is_open = True

    def connectionLost(self, reason: object = None) -> None:
        """Nothing is left to be cut."""
        self.is_open = False

    def stringReceived(self, data: bytes) -> None:  # noqa: N802 - Twisted's name
        """Do one call."""
        simulator = self._simulator
        protocol = TBinaryProtocol(TMemoryBuffer(data))
        name, _, sequence = protocol.read_message_begin()
        service = simulator.messages.structures.TokenApi
        if name not in service.thrift_services:
            fault = TApplicationException(TApplicationException.UNKNOWN_METHOD)
            self._answer(name, simulator.messages.encode(name, TMessageType.EXCEPTION, sequence, fault))
            return
        arguments = getattr(service, f"{name}_args")()
        arguments.read(protocol)
        result = getattr(service, f"{name}_result")()
        try:
            result.success = simulator.call(name, arguments)
        except Refusal as refusal:
            result.ex = simulator.messages.structures.ApiException(eCode=str(refusal), eMsg="simulated")
        self._answer(name, simulator.messages.encode(name, TMessageType.REPLY, sequence, result))

    def _answer(self, name: str, octets: bytes) -> None:
        waiting = self._simulator.trouble.after.get(name)
        trouble = waiting.pop(0) if waiting else ""
        if trouble == "cut":
            self.transport.write(octets[: len(octets) // 2])
            self.transport.loseConnection()
        elif trouble == "garbage":
            self.transport.write(octets[:4] + b"\xff" * (len(octets) - 4))
        elif trouble != "silent":
            self.transport.write(octets)


class SimulatorFactory(Factory):
    """Makes the links of one simulator, and can cut them all."""

    noisy = False

    def __init__(self, simulator: PrismSimulator) -> None:
        self._simulator = simulator
        self.links: list[Link] = []

    def buildProtocol(self, addr: object) -> Link:
        """Make one link."""
        self.links.append(Link(self._simulator))
        return self.links[-1]


def main(directory: str, certificate: str, run_file: str, number: str = "0") -> None:
    """Run until SIGTERM on port *number*; 0 takes a free one."""
    from twisted.internet import reactor, ssl  # noqa: TID251

    simulator = PrismSimulator(open_keys(Path(directory), {}).vending)
    options = ssl.PrivateCertificate.loadPEM(Path(certificate).read_bytes()).options()
    running: Any = reactor
    port = running.listenSSL(int(number), SimulatorFactory(simulator), options, interface="127.0.0.1")
    write_run_file(Path(run_file), {"host": "127.0.0.1", "port": port.getHost().port})
    running.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
