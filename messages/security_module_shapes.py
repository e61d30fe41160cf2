"""What is said between the switch and the security module: commands, statuses, requests and replies, as frozen objects.

How they look on the wire is in `messages.security_module`, which also exports every name of this file.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import Enum

from messages.security_module_lease_shapes import LeaseReply, LeaseRequest
from messages.security_module_work_shapes import ListWork, ListWorkReply
from vending.engineering import EngineeringRequest, KeyChangeRequest
from vending.money import Centavos
from vending.ports import MacKey, MintRequest
from vending.secret import Secret
from vending.session_key import SessionKey


class Status(Enum):
    """What became of a request: two digits and their meaning, after the codes of STS 600-8-6 where it has one.

    Attributes:
        code: the two digits on the wire.
        meaning: for people.
        is_refusal: the module looked the request up and says that nothing was minted under its id and nothing ever will be.
            The others (``unknown_version``, ``permission``, ``clock_in_doubt``, ``approval_needed``, ``approval_invalid``, ``overloaded``, ``stopping``, ``internal_error``,
            and those of leases from 80 on) say nothing about that id: it may have
            been minted by an earlier request whose answer was lost, so ask again.
    """

    OK = ("00", "done", False)
    MAC_MISMATCH = ("01", "the message authentication code is wrong", False)
    TOKEN_INVALID = ("02", "the token is no token under this register, PAN and tariff index", False)
    UNKNOWN_VERSION = ("21", "this module speaks the version of this frame and no other", False)
    UNKNOWN_COMMAND = ("22", "no such command", True)
    FORMAT_ERROR = ("24", "a field is malformed or out of range", True)
    PAN_INVALID = ("25", "the check digit of the PAN is wrong", True)
    UNKNOWN_REGISTER = ("28", "no such key register", True)
    VENDING_INHIBITED = ("40", "the register is inhibited by its operator", True)
    REGISTER_EXPIRED = ("41", "the register, or its key for this token identifier, is expired", True)
    TID_OUTSIDE_WINDOW = ("42", "the token identifier is too far from the module's clock", True)
    LIMIT_EXCEEDED = ("43", "the units that the register may mint in all its life are used up", True)
    KEY_CHANGE_FORBIDDEN = ("44", "the registers do not allow this key change", True)
    NOT_ACTIVE_YET = ("45", "the register is not active yet", True)
    REQUEST_CONFLICT = ("46", "the request id was used before with other content", True)
    REGISTER_CONTRADICTION = ("47", "the register does not allow this algorithm, sub-class, scheme or use", True)
    TOKEN_TOO_LARGE = ("48", "a token is larger than the register allows", True)
    DAY_LIMIT_EXCEEDED = ("49", "the units that the register may mint in one local day are used up", True)
    CLOCK_IN_DOUBT = ("50", "the module's clock is behind its own records; ask again, or another", False)
    MONEY_LIMIT_EXCEEDED = ("51", "the money that the register may mint for in all its life is used up", True)
    DAY_MONEY_LIMIT_EXCEEDED = ("52", "the money that the register may mint for in one local day is used up", True)
    ISSUE_ENDED = ("53", "the register issues no new credit any more", True)
    KEY_CHANGE_LIMIT_EXCEEDED = (
        "54",
        "the key changes that the register gives in one local day without approvals are used up",
        True,
    )
    APPROVAL_NEEDED = (
        "55",
        "the register gives no more of these in this local day without the approvals of two people",
        False,
    )
    APPROVAL_INVALID = ("56", "an approval is wrong, expired or of nobody enrolled, or two people are not there", False)
    KEY_RETIRED = ("60", "the session key was retired, and its overlap is over", True)
    KEY_INVALID = ("61", "not a session key of this zone, or not the one that its check value names", True)
    LEASE_NEEDED = ("70", "this module mints only under a lease, and none is in force", True)
    LEASE_NOT_VALID = ("71", "the lease is not valid yet, or not any more, by the module's clock", True)
    LEASE_FORBIDS = ("72", "the lease allows no such thing: another vending key, or no sale of credit", True)
    LEASE_SALE_LIMIT = ("73", "more money than the lease allows for one sale, or no amount was said", True)
    LEASE_METER_LIMIT = ("74", "more money than the lease allows for one meter in one local day", True)
    LEASE_MONEY_LIMIT = ("75", "the money of the lease is used up", True)
    LEASE_UNITS_LIMIT = ("76", "the units of the lease are used up", True)
    LEASE_SALES_LIMIT = ("77", "the number of sales of the lease is used up", True)
    LEASE_LOCKED = ("78", "the clock was set while the lease was in force; close it and ask for another", True)
    LEASE_INVALID = ("80", "not a lease of this module's head-end for this terminal", False)
    LEASE_REPLAYED = ("81", "the lease, or the closing statement, is an old one", False)
    LEASE_CHAIN = ("82", "the lease does not follow this module's own closing statement", False)
    LEASE_OPEN = ("83", "the lease before it was not closed", False)
    TERMINAL_UNKNOWN = ("84", "no such vendor terminal, or not signed by its module", False)
    TERMINAL_REVOKED = ("85", "the vendor terminal was revoked", False)
    TERMINAL_FROZEN = ("86", "the terminal's statements contradict each other: its store was copied or set back", False)
    WRONG_MODULE = ("89", "a till's module and a head-end's do not know each other's lease commands", False)
    OVERLOADED = ("90", "too many requests wait; ask again", False)
    STOPPING = ("91", "the module is stopping; ask again, or another", False)
    PERMISSION = ("98", "the role of this client does not allow the command", False)
    INTERNAL_ERROR = ("99", "a fault of the module; the outcome is unknown", False)

    def __init__(self, code: str, meaning: str, is_refusal: bool) -> None:
        self.code = code
        self.meaning = meaning
        self.is_refusal = is_refusal


class Command(Enum):
    """What can be asked; the value is what stands on the wire."""

    MINT = "MT"
    VERIFY_TOKEN = "VT"  # noqa: S105
    GENERATE_MAC = "MG"
    VERIFY_MAC = "MV"
    COUNTERS = "CT"
    IDENTIFY = "ID"
    DECODER_KEY = "DK"
    LIST_MINTS = "LM"
    FIND_MINTS = "FM"
    LIST_WORK = "LW"
    ACCEPT_CLOCK = "AC"
    ENGINEERING = "EN"
    METER_KEY_CHANGE = "KC"
    MAKE_SESSION_KEY = "GK"
    TAKE_SESSION_KEY = "TK"
    RETIRE_KEY = "RK"
    ASK_LEASE = "LE"
    ACCEPT_LEASE = "LA"
    CLOSE_LEASE = "LC"
    READ_LEASE = "LR"
    REVOKE_TERMINAL = "RT"
    UNKNOWN = "EQ"
    """Never sent: its reply letters ``ER`` answer a command that the module does not know."""

    @property
    def reply_letters(self) -> str:
        """The same command as it stands in a reply: second letter plus one."""
        return self.value[0] + chr(ord(self.value[1]) + 1)


class LinkError(Exception):
    """What came is not this protocol: nothing on this link can be trusted any more, close it."""


class VersionError(LinkError):
    """A frame of another version. Its header has the same place in every version, so it can be told so before the link is closed.

    Attributes:
        correlation_id: of the frame.
    """

    def __init__(self, correlation_id: int, version: int, ours: int) -> None:
        super().__init__(f"protocol version {version}, not {ours}")
        self.correlation_id = correlation_id


class FieldError(Exception):
    """A frame whose header could be read and whose fields could not: answer it by its status and go on.

    Attributes:
        correlation_id: of the frame.
        command: `Command.UNKNOWN` if the letters were not known.
        status: `Status.FORMAT_ERROR` or `Status.UNKNOWN_COMMAND`.
        detail: which field, for our log.
    """

    def __init__(self, correlation_id: int, command: Command, status: Status, detail: str) -> None:
        super().__init__(correlation_id, command, status, detail)
        self.correlation_id = correlation_id
        self.command = command
        self.status = status
        self.detail = detail


class LocalFieldError(ValueError):
    """We tried to send something that the protocol cannot say; nothing was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyToken:
    """Decrypt a token as the meter would and say what is in it. ``token`` is 20 digits."""

    register_id: int
    pan: str
    tariff_index: int
    encryption_algorithm: int
    token: Secret[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateMac:
    """Make 8 octets of MAC over *data*."""

    key: MacKey
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyMac:
    """Compare *mac* with the MAC over *data*."""

    key: MacKey
    mac: bytes
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadCounters:
    """What has every register minted since it was made?"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identify:
    """Who are you, what time is it, which keys do you hold? Also the heartbeat of a link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderKey:
    """Give the decoder key of one meter, to be put into it. Test registers only."""

    register_id: int
    pan: str
    tariff_index: int
    encryption_algorithm: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ListMints:
    """What was minted on one local day of the module? Asked again with the last sequence seen until the reply is empty."""

    day: date
    after_sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FindMints:
    """What became of these request ids?"""

    request_ids: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptClock:
    """An operator has looked: the module's clock is right, although it is behind the module's own records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeSessionKey:
    """Give the session key of a generation under a zone key; the same one whenever it is asked for."""

    zone_register_id: int
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeSessionKey:
    """Take a session key that the partner wrapped under a zone key; *kcv* is what he says of it, 6 hexadecimal digits."""

    zone_register_id: int
    generation: int
    kcv: str
    wrapped: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetireKey:
    """Give a token of *key* that is refused so many seconds from now, by the module's clock."""

    zone_register_id: int
    key: MacKey
    seconds: int


Request = (
    MintRequest
    | VerifyToken
    | GenerateMac
    | VerifyMac
    | ReadCounters
    | Identify
    | DecoderKey
    | ListMints
    | FindMints
    | ListWork
    | AcceptClock
    | EngineeringRequest
    | KeyChangeRequest
    | MakeSessionKey
    | TakeSessionKey
    | RetireKey
    | LeaseRequest
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MintReply:
    """The tokens, 20 digits each, in the order asked for."""

    tokens: Sequence[Secret[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyTokenReply:
    """What a valid token says.

    Attributes:
        token_class: 0 credit, 1 test or display, 2 management and key change.
        subclass: its sub-class there.
        tid: its identifier; None where it has none (class 1, key change).
        amount: tenths of a unit, hundred-thousandths of the currency (with sign), watts, the 16-bit value or the control field,
            as the class and sub-class say; of a key-change token which section it is, never a piece of the key.
        words: the same for people, in English.
    """

    token_class: int
    subclass: int
    tid: int | None
    amount: int
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineeringReply:
    """The token of an engineer, 20 digits."""

    token: Secret[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyChangeReply:
    """The tokens of a key change, 20 digits each, in the order of entry."""

    tokens: Sequence[Secret[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MacReply:
    """The 8 octets asked for."""

    mac: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class MacVerified:
    """The MAC is right. A wrong one is `Refused` with `Status.MAC_MISMATCH`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterCount:
    """What one register has minted since it was made; a request that was asked twice counts once.

    Attributes:
        register_id: the key register.
        requests: mint requests that were done.
        tokens: tokens in them.
        units_tenths: tenths of a unit in those tokens.
    """

    register_id: int
    requests: int
    tokens: int
    units_tenths: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CountersReply:
    """One count per vending register, in ascending order of its id."""

    counts: Sequence[RegisterCount]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckValue:
    """Which key stands in a register: its key check value, 6 hexadecimal digits, never the key."""

    register_id: int
    kcv: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentifyReply:
    """The module, the role it gave this client, its clock (milliseconds since 1970 UTC) and its keys."""

    module_id: str
    role: str
    clock_unix_milliseconds: int
    check_values: Sequence[CheckValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderKeyReply:
    """8 octets for EA07, 16 for EA11."""

    key: Secret[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class MintRecord:
    """One mint request that was done, as the module recorded it.

    Attributes:
        sequence: of the record in the audit chain.
        request_id: the sale's, or the adjustment's mint id.
        register_id: the key register.
        tokens: how many.
        units_tenths: their units together.
        charged_centavos: what the request said; 0 if it said nothing.
    """

    sequence: int
    request_id: int
    register_id: int
    tokens: int
    units_tenths: int
    charged_centavos: Centavos


@dataclass(frozen=True, slots=True, kw_only=True)
class ListMintsReply:
    """Mints in ascending order of their sequence; none: there are no more."""

    mints: Sequence[MintRecord]


@dataclass(frozen=True, slots=True, kw_only=True)
class FindMintsReply:
    """The ids that the module knows and their status: ``OK`` was minted, a refusal stands for ever. Ids unknown are left out."""

    found: Sequence[tuple[int, Status]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockAccepted:
    """Minting goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionKeyMade:
    """A key of ours: token, wrapped form and check value."""

    key: SessionKey


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionKeyTaken:
    """A partner's key: token and check value."""

    key: SessionKey


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRetired:
    """The key that ends: token and check value."""

    key: SessionKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Any status but ``00``."""

    command: Command
    status: Status


Reply = (
    MintReply
    | VerifyTokenReply
    | MacReply
    | MacVerified
    | CountersReply
    | IdentifyReply
    | DecoderKeyReply
    | ListMintsReply
    | FindMintsReply
    | ListWorkReply
    | ClockAccepted
    | EngineeringReply
    | KeyChangeReply
    | SessionKeyMade
    | SessionKeyTaken
    | KeyRetired
    | LeaseReply
    | Refused
)
