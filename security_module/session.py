"""One client's conversation, without I/O: octets in, octets out. Mints go to the group commit and are answered by it later."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from messages.security_module import (
    AcceptClock,
    AcceptLease,
    AskLease,
    ClockAccepted,
    CloseLease,
    Command,
    CountersReply,
    DecoderKey,
    DecoderKeyReply,
    EngineeringReply,
    EngineeringRequest,
    FieldError,
    FindMints,
    FindMintsReply,
    FrameReader,
    GenerateMac,
    Identify,
    IdentifyReply,
    KeyChangeReply,
    KeyChangeRequest,
    KeyRetired,
    LeaseRequest,
    LinkError,
    ListMints,
    ListMintsReply,
    ListWork,
    ListWorkReply,
    MacKey,
    MacReply,
    MacVerified,
    MakeSessionKey,
    MintReply,
    MintRequest,
    ReadCounters,
    ReadLease,
    Refused,
    RegisterCount,
    Reply,
    Request,
    RetireKey,
    RevokeTerminal,
    SessionKeyMade,
    SessionKeyTaken,
    Status,
    TakeSessionKey,
    VerifyMac,
    VerifyToken,
    VersionError,
    decode_request,
    encode_reply,
)
from security_module.dukpt import DukptMacs
from security_module.engineering_records import TokenRequest
from security_module.group_commit import GroupCommit
from security_module.lease_commands import LeaseCommands
from security_module.macs import MacBook, MacRefused
from security_module.mint_log import MintLog
from security_module.minting import Mint, MintRefused
from security_module.registers import ModuleKeys
from security_module.roles import Role
from security_module.session_keys import SessionKeys
from vending.secret import Secret

MINTS_PER_LINK_MAX = 4_096
"""Mints of one link that may be under way: a switch gathers at most some hundreds; one client must not fill the queue of all."""
QUESTIONS_PER_LINK_MAX = 4
"""Questions to the log of one link that may be under way: each holds up the mints of all for some milliseconds."""

_COMMAND_OF: dict[type[Request], Command] = {
    MintRequest: Command.MINT,
    VerifyToken: Command.VERIFY_TOKEN,
    GenerateMac: Command.GENERATE_MAC,
    VerifyMac: Command.VERIFY_MAC,
    ReadCounters: Command.COUNTERS,
    Identify: Command.IDENTIFY,
    DecoderKey: Command.DECODER_KEY,
    ListMints: Command.LIST_MINTS,
    FindMints: Command.FIND_MINTS,
    ListWork: Command.LIST_WORK,
    AcceptClock: Command.ACCEPT_CLOCK,
    EngineeringRequest: Command.ENGINEERING,
    KeyChangeRequest: Command.METER_KEY_CHANGE,
    MakeSessionKey: Command.MAKE_SESSION_KEY,
    TakeSessionKey: Command.TAKE_SESSION_KEY,
    RetireKey: Command.RETIRE_KEY,
    AskLease: Command.ASK_LEASE,
    AcceptLease: Command.ACCEPT_LEASE,
    CloseLease: Command.CLOSE_LEASE,
    ReadLease: Command.READ_LEASE,
    RevokeTerminal: Command.REVOKE_TERMINAL,
}

_TOKENS_REPLY: dict[Command, Callable[[list[Secret[str]]], Reply]] = {
    Command.MINT: lambda tokens: MintReply(tokens=tokens),
    Command.ENGINEERING: lambda tokens: EngineeringReply(token=tokens[0]),
    Command.METER_KEY_CHANGE: lambda tokens: KeyChangeReply(tokens=tokens),
}


@dataclass(slots=True, kw_only=True)
class Module:
    """What all conversations share.

    Attributes:
        keys: the open store.
        mint: computes tokens.
        macs: makes and compares MACs under the keys of registers.
        sessions: the same under session keys, and changes these.
        devices: the same under the keys of DUKPT devices.
        commits: records mints.
        leases: gives them, or accepts them.
        counts: the counters as of the last commit.
        clock_unix_milliseconds: the module's clock.
        answered: called when an answer was added outside of a batch of mints; sends it.
        is_stopping: set at shutdown; no mint is taken on any more.
    """

    keys: ModuleKeys
    mint: Mint
    macs: MacBook
    sessions: SessionKeys
    devices: DukptMacs
    commits: GroupCommit
    leases: LeaseCommands
    counts: Callable[[], tuple[RegisterCount, ...]]
    clock_unix_milliseconds: Callable[[], int]
    answered: Callable[[], None]
    is_stopping: bool = False


class Session:
    """One link whose client has a role."""

    def __init__(self, module: Module, role: Role, has_output: Callable[["Session"], None]) -> None:
        """Start a conversation.

        Args:
            module: what is shared.
            role: of the client.
            has_output: called when something was added to the output outside of `receive`.
        """
        self._module = module
        self._role = role
        self._allowed = frozenset(request for request, command in _COMMAND_OF.items() if role.may(command))
        self._has_output = has_output
        self._reader = FrameReader()
        self._output: list[bytes] = []
        self._mints_under_way = 0
        self._questions_under_way = 0
        self._refused: set[Command] = set()

    def receive(self, data: bytes) -> None:
        """Take octets; what can be answered at once is in `take_output` afterwards.

        Raises:
            LinkError: the client does not speak this protocol. Send what is in the output, then close the link.
        """
        try:
            for body in self._reader.receive(data):
                self._take(body)
        finally:
            self._module.commits.start()

    def take_output(self) -> bytes:
        """Return, once, everything that is to be sent."""
        output = b"".join(self._output)
        self._output.clear()
        return output

    def _take(self, body: bytes) -> None:
        try:
            correlation_id, request = decode_request(body)
        except VersionError as error:
            # Our version stands in the header of the answer, so the other side learns which one to speak.
            self._answer(error.correlation_id, Refused(command=Command.UNKNOWN, status=Status.UNKNOWN_VERSION))
            raise
        except FieldError as error:
            self._answer(error.correlation_id, Refused(command=error.command, status=error.status))
            return
        kind = type(request)
        if kind not in self._allowed:
            self._note_refusal(_COMMAND_OF[kind])
            self._answer(correlation_id, Refused(command=_COMMAND_OF[kind], status=Status.PERMISSION))
        elif isinstance(request, MintRequest | EngineeringRequest | KeyChangeRequest):
            self._mint(correlation_id, request)
        elif isinstance(request, ListMints | FindMints | ListWork | AcceptClock | LeaseRequest):
            self._ask_log(correlation_id, request)
        else:
            try:
                self._answer(correlation_id, self._reply(request))
            except (MacRefused, MintRefused) as error:
                self._answer(correlation_id, Refused(command=_COMMAND_OF[kind], status=error.status))

    def _reply(self, request: Request) -> Reply:
        module = self._module
        match request:
            case VerifyMac():
                if self._macs(request.key).is_right(request.key, request.data, request.mac):
                    return MacVerified()
                return Refused(command=Command.VERIFY_MAC, status=Status.MAC_MISMATCH)
            case GenerateMac():
                return MacReply(mac=self._macs(request.key).generate(request.key, request.data))
            case VerifyToken():
                return module.mint.verify(request)
            case ReadCounters():
                return CountersReply(counts=module.counts())
            case DecoderKey():
                return DecoderKeyReply(key=module.mint.decoder_key(request))
            case MakeSessionKey() | TakeSessionKey() | RetireKey():
                return self._change_key(request)
            case Identify():
                return IdentifyReply(
                    module_id=module.keys.module_id,
                    role=self._role.value,
                    clock_unix_milliseconds=module.clock_unix_milliseconds(),
                    check_values=module.keys.check_values(),
                )
            case _:
                raise AssertionError("answered from the writer thread")

    def _macs(self, key: MacKey) -> MacBook | SessionKeys | DukptMacs:
        if key.ksn:
            return self._module.devices
        return self._module.sessions if key.session else self._module.macs

    def _change_key(self, request: MakeSessionKey | TakeSessionKey | RetireKey) -> Reply:
        sessions, zone = self._module.sessions, request.zone_register_id
        match request:
            case MakeSessionKey(generation=generation):
                return SessionKeyMade(key=sessions.make(zone, generation))
            case TakeSessionKey(generation=generation, wrapped=wrapped, kcv=kcv):
                return SessionKeyTaken(key=sessions.take(zone, generation, wrapped, kcv))
            case RetireKey(key=key, seconds=seconds):
                return KeyRetired(key=sessions.retire(zone, key, seconds))

    def _note_refusal(self, command: Command) -> None:
        """Once for each command and link: a client that goes on asking must not fill the audit."""
        if command not in self._refused:
            self._refused.add(command)
            self._module.commits.record("permission_refused", role=self._role.value, command=command.value)

    def _ask_log(
        self, correlation_id: int, request: ListMints | FindMints | ListWork | AcceptClock | LeaseRequest
    ) -> None:
        command = _COMMAND_OF[type(request)]
        if self._questions_under_way >= QUESTIONS_PER_LINK_MAX:
            self._answer(correlation_id, Refused(command=command, status=Status.OVERLOADED))
            return
        self._questions_under_way += 1

        def answered(reply: Reply) -> None:
            self._questions_under_way -= 1
            self._answer(correlation_id, reply)
            self._has_output(self)
            self._module.answered()

        leases = self._module.leases
        asked = self._module.commits.run(
            lambda log: (
                leases.reply(log, request, command)
                if isinstance(request, LeaseRequest)
                else _reply_of_log(log, request)
            )
        )
        asked.addErrback(lambda _: Refused(command=command, status=Status.INTERNAL_ERROR)).addCallback(answered)

    def _mint(self, correlation_id: int, request: TokenRequest) -> None:
        """Compute now, while the writer waits for the disk; answer when the request is recorded."""
        command = _COMMAND_OF[type(request)]
        if self._module.is_stopping:
            self._answer(correlation_id, Refused(command=command, status=Status.STOPPING))
            return
        tokens: list[Secret[str]] | None = None
        refusal = Status.OK
        try:
            tokens = self._module.mint.all_of(request)
        except MintRefused as error:
            refusal = error.status
        deliver = partial(self._minted, correlation_id, command, tokens)
        if self._mints_under_way >= MINTS_PER_LINK_MAX or not self._module.commits.submit(request, refusal, deliver):
            self._answer(correlation_id, Refused(command=command, status=Status.OVERLOADED))
            return
        self._mints_under_way += 1

    def _minted(self, correlation_id: int, command: Command, tokens: list[Secret[str]] | None, status: Status) -> None:
        self._mints_under_way -= 1
        if status is not Status.OK:
            self._answer(correlation_id, Refused(command=command, status=status))
        elif tokens is None:
            # It was minted once and cannot be computed any more: the register was changed under it. No verdict on the sale.
            self._answer(correlation_id, Refused(command=command, status=Status.INTERNAL_ERROR))
        else:
            self._answer(correlation_id, _TOKENS_REPLY[command](tokens))
        self._has_output(self)

    def _answer(self, correlation_id: int, reply: Reply) -> None:
        self._output.append(encode_reply(correlation_id, reply))


def _reply_of_log(log: MintLog, request: ListMints | FindMints | ListWork | AcceptClock) -> Reply:
    match request:
        case ListMints():
            return ListMintsReply(mints=log.mints_of(request.day, request.after_sequence))
        case FindMints():
            return FindMintsReply(found=log.verdicts(request.request_ids))
        case ListWork():
            return ListWorkReply(work=log.work_of(request.day, request.after_sequence))
        case AcceptClock() if log.till_book is not None:
            # Whoever has the till could set its clock back and sell on: only a lease says which time it is.
            return Refused(command=Command.ACCEPT_CLOCK, status=Status.WRONG_MODULE)
        case AcceptClock():
            log.accept_clock()
            return ClockAccepted()


__all__ = ["MINTS_PER_LINK_MAX", "LinkError", "Module", "Session"]
