"""A network in memory that a datáfono can talk to: it answers by a script and signs with other libraries than the terminal's."""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import psec
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.utils import CryptographyDeprecationWarning

from messages.codec import DATAFONO
from messages.framing import Frame, FrameReader, FrameStyle, write_frame
from messages.iso_message import IsoMessage
from messages.mac import covered, splice_mac, split_mac, with_placeholder
from messages.record_list import read_records
from messages.subfields import SubElement, build_sub_elements
from messages.tpdu import split_tpdu
from pos.client import NotSent, Outcome
from pos.dialogue import Dialogue, Final, Send, Unknown
from pos.store import TerminalIdentity
from vending.ports import MacScheme
from vending.secret import Secret

KEY = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
PIN = "12345678901234567890"

IDENTITY = TerminalIdentity(
    terminal_id="T0000001",
    merchant_id="TIENDA0000001  ",
    nii="001",
    mac_scheme=MacScheme.X9_19,
    mac_key=Secret(KEY),
)

ACCOUNT = (
    SubElement("HN", "María Peñaloza Núñez"),
    SubElement("AD", "Calle 7 # 3-21, La Ribera"),
    SubElement("AC", "100000001"),
    SubElement("MT", "37000000002"),
    SubElement("SV", "1"),
    SubElement("CL", "residential"),
    SubElement("ST", "1"),
)

LINES = (
    SubElement("RC", "123"),
    SubElement("PD", "2000000"),
    SubElement("CI", "0"),
    SubElement("CO", "135"),
    SubElement("UN", "499"),
    SubElement("CH", "1799865"),
    SubElement("FC", "4491000"),
    SubElement("SB", "2691135"),
    SubElement("CN", "0"),
    SubElement("MD", "499"),
    SubElement("BK", "499;3607000;9000000"),
    SubElement("TK", "obligation;mora-2026-03;200000;1000;199000;5801000;0"),
)


def mac_of(scheme: str, data: bytes) -> bytes:
    """The MAC by psec or cryptography, which the terminal does not use."""
    if scheme == MacScheme.X9_19:
        with warnings.catch_warnings():
            # psec takes TripleDES from where cryptography is about to move it away.
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)
            return psec.mac.generate_retail_mac(KEY[:8], KEY[8:], data, 1)
    code = CMAC(AES(KEY))
    code.update(data)
    return code.finalize()[:8]


Behaviour = Callable[["FakeSwitch", IsoMessage], bytes]
"""Makes the octets that go out for a request."""

SETTLEMENT_DATE = "1124"
"""Data element 15 of what is approved."""


def answer_to(request: IsoMessage, code: str, more: dict[int, str] | None = None) -> IsoMessage:
    """The answer's fields: the caller's own, data element 39 and *more*."""
    echoed = {
        number: request.fields[number] for number in (2, 3, 4, 7, 11, 12, 13, 24, 37, 41, 42, 70) if number in request
    }
    return IsoMessage(mti=request.answer_mti, fields={**echoed, 39: code, **(more or {})})


def approve(switch: "FakeSwitch", request: IsoMessage) -> bytes:
    """Approve with a PIN and all lines; a question for the last answer is told which sale that was and how often it was asked."""
    if request.message_class == "0220":
        return switch.signed(answer_to(request, "00"))
    account: tuple[SubElement, ...] = ACCOUNT
    if request.get(3) == "380000":
        switch.reprints += 1
        account = (*ACCOUNT, *original_elements(request, "00"), SubElement("RP", str(switch.reprints)))
    more = {
        15: SETTLEMENT_DATE,
        37: "632700000123",
        38: "000123",
        48: build_sub_elements(account),
        62: PIN,
        63: build_sub_elements(LINES),
    }
    return switch.signed(answer_to(request, "00", more))


def original_elements(request: IsoMessage, code: str) -> tuple[SubElement, ...]:
    """Which sale an answer is about: the one that the request names, or one that no terminal remembers."""
    named = request.get(90) or "0200" + "000777" + "1123160509"
    return SubElement("OS", named[4:10]), SubElement("OT", named[10:20]), SubElement("OC", code)


def told(*codes: str) -> Behaviour:
    """Tell of each record of a batch: its code, and a day and a receipt for a payment that was approved."""

    def behave(switch: "FakeSwitch", request: IsoMessage) -> bytes:
        records = [DATAFONO.decode(record) for record in read_records(request.text(60))]
        lines = []
        for number, (record, code) in enumerate(zip(records, codes, strict=True)):
            stands = code == "00" and record.mti == "0200"
            more = f"{SETTLEMENT_DATE};{1000 + number}" if stands else ";"
            lines.append(SubElement("RS", f"{record.message_class};{record.text(11)};{record.text(7)};{code};{more}"))
        whole = "09" if "09" in codes else "00"
        return switch.signed(answer_to(request, whole, {48: build_sub_elements(lines)}))

    return behave


def was_declined(code: str) -> Behaviour:
    """Tell that the original was declined."""
    return lambda switch, request: switch.signed(
        answer_to(request, "00", {48: build_sub_elements(original_elements(request, code))})
    )


def decline(code: str) -> Behaviour:
    """Decline with that data element 39."""
    return lambda switch, request: switch.signed(answer_to(request, code))


def silent(_switch: "FakeSwitch", _request: IsoMessage) -> bytes:
    """Say nothing."""
    return b""


def unsigned(switch: "FakeSwitch", request: IsoMessage) -> bytes:
    """Approve without a MAC."""
    return switch.framed(DATAFONO.encode(answer_to(request, "00", {62: PIN})))


def wrongly_signed(switch: "FakeSwitch", request: IsoMessage) -> bytes:
    """Approve with the last octet of the MAC changed."""
    octets = approve(switch, request)
    return octets[:-1] + bytes([octets[-1] ^ 1])


def to_another(**changes: str) -> Behaviour:
    """Approve, well signed, with data elements changed: ``de11="999999"``."""

    def behave(switch: "FakeSwitch", request: IsoMessage) -> bytes:
        fields = {int(name.removeprefix("de")): value for name, value in changes.items()}
        return switch.signed(answer_to(request, "00", {62: PIN}).with_fields(fields))

    return behave


def garbage(_switch: "FakeSwitch", _request: IsoMessage) -> bytes:
    """A length that no frame has."""
    return b"GET / HTTP/1.1\r\n"


def noise(switch: "FakeSwitch", _request: IsoMessage) -> bytes:
    """A whole frame that is no message."""
    return switch.framed(b"\x02\x10" + b"\xff" * 20)


@dataclass
class FakeSwitch:
    """Answers each request by the next behaviour of its script; the last one goes on for ever."""

    script: list[Behaviour]
    scheme: str = MacScheme.X9_19
    requests: list[IsoMessage] = field(default_factory=list)
    macs_right: list[bool] = field(default_factory=list)
    tpdu: bytes = bytes(5)
    reprints: int = 0

    def receive(self, octets: bytes) -> bytes:
        """Take what a terminal wrote; return what it may read."""
        events = FrameReader(FrameStyle.BINARY_2).receive(octets)
        return b"".join(self.serve(event.octets) for event in events if isinstance(event, Frame))

    def serve(self, frame: bytes) -> bytes:
        """Take one frame without its length."""
        tpdu, encoded = split_tpdu(frame)
        self.tpdu = tpdu.swapped().octets
        request = DATAFONO.decode(encoded)
        self.requests.append(request)
        if request.message_class != "0800":
            sealed = split_mac(request, encoded)
            self.macs_right.append(mac_of(self.scheme, sealed.covered) == sealed.mac)
        behaviour = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        return behaviour(self, request)

    def signed(self, answer: IsoMessage) -> bytes:
        """Frame an answer with its MAC; one of class 0800 has none."""
        if answer.message_class == "0810":
            return self.framed(DATAFONO.encode(answer))
        encoded = DATAFONO.encode(with_placeholder(answer))
        return self.framed(splice_mac(encoded, mac_of(self.scheme, covered(encoded))))

    def framed(self, encoded: bytes) -> bytes:
        """Put length and TPDU in front."""
        return write_frame(FrameStyle.BINARY_2, self.tpdu + encoded)


@dataclass
class MemoryLink:
    """Carries dialogues to a `FakeSwitch`; ``is_down`` is a switch that nobody can reach."""

    switch: FakeSwitch
    is_down: bool = False
    seen_before_send: Callable[[], None] = lambda: None

    def run(self, dialogue: Dialogue) -> Outcome:
        """As `pos.till.Link.run`."""
        if self.is_down:
            return NotSent(reason="down")
        step: Send | Unknown = dialogue.start()
        while isinstance(step, Send):
            self.seen_before_send()
            octets = self.switch.receive(step.octets)
            result = dialogue.received(octets) if octets else None
            if isinstance(result, Final | Unknown):
                return result
            step = dialogue.repeat()
        return step


def chunks(octets: bytes, cuts: Iterable[int]) -> list[bytes]:
    """Cut a string of octets at these places."""
    places = [0, *sorted(cut % (len(octets) + 1) for cut in cuts), len(octets)]
    return [octets[start:stop] for start, stop in pairwise(places)]
