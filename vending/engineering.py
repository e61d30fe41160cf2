"""What the security module is asked for besides credit: tokens of engineers, key changes, and the signatures of those who approve them.

Pure shapes; what a token says on its digits is `sts`, what a register allows is `security_module.engineering_rules`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from vending.money import Tenths

APPROVALS_NEEDED = 2
"""Two people: one mistake or one bribe is not enough."""
APPROVALS_MAX = 4
"""So many signatures one request carries at most; more than the two that count is harmless."""
PUBLIC_KEY_OCTETS = 32
SIGNATURE_OCTETS = 64
EXPIRES_UNIX_SECONDS_MAX = 2**40
"""Some thirty thousand years: a bound for typing errors only."""

CLEAR_ALL = 0xFFFF
"""The value of a clear credit that clears every register."""
WATTS_MAX = 18_201_624
"""The most that the 16-bit amount of an STS token can say."""


class EngineeringKind(Enum):
    """What an engineer's token does.

    Attributes:
        token_class: 1 or 2 of the standard.
        subclass: its sub-class there.
        value_max: the largest value.
    """

    POWER_LIMIT = ("power_limit", 2, 0, WATTS_MAX)
    """Class 2; the value is watts."""
    CLEAR_CREDIT = ("clear_credit", 2, 1, CLEAR_ALL)
    """Class 2; the value is a register, 0 to 3 units and 4 to 7 currency, or `CLEAR_ALL`."""
    CLEAR_TAMPER = ("clear_tamper", 2, 5, 0)
    """Class 2; the value is 0."""
    PHASE_UNBALANCE = ("phase_unbalance", 2, 6, WATTS_MAX)
    """Class 2; the value is watts."""
    TEST = ("test", 1, 0, (1 << 36) - 1)
    """Class 1, two-digit makers: not encrypted and without an identifier; the value is the control field, bit n-1 for test n."""
    WIDE_TEST = ("wide_test", 1, 1, (1 << 28) - 1)
    """Class 1, four-digit makers; likewise."""

    def __init__(self, word: str, token_class: int, subclass: int, value_max: int) -> None:
        self.word = word
        self.token_class = token_class
        self.subclass = subclass
        self.value_max = value_max

    @classmethod
    def of_word(cls, word: str) -> "EngineeringKind":
        """Return the kind that is called *word*; KeyError if none is."""
        return {each.word: each for each in cls}[word]

    @property
    def is_test(self) -> bool:
        """Whether it needs no key and no identifier."""
        return self.token_class == 1

    def allows(self, value: int) -> bool:
        """Whether *value* can be said."""
        if self is EngineeringKind.CLEAR_CREDIT:
            return 0 <= value <= 7 or value == CLEAR_ALL
        return 0 <= value <= self.value_max


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One person's word for one request.

    Attributes:
        public_key: the person's Ed25519 key, 32 octets; who it belongs to is enrolled in the module.
        expires_unix_seconds: when the word ends.
        signature: 64 octets over `approval_octets`.
    """

    public_key: bytes
    expires_unix_seconds: int
    signature: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineeringRequest:
    """One token of class 1 or 2.

    Attributes:
        request_id: asking again under it gives the same digits.
        register_id: the key register of the meter.
        pan: 18 digits.
        tariff_index: 0 to 99.
        encryption_algorithm: 7 or 11.
        kind: what it does.
        value: as the kind says.
        tid: the token identifier; 0 for a test, which has none.
        maker_code: whose meters take a test; 0 everybody's, and for every other kind.
        approvals: signatures of two people, where the register wants them.
    """

    request_id: int
    register_id: int
    pan: str
    tariff_index: int
    encryption_algorithm: int
    kind: EngineeringKind
    value: int
    tid: int
    maker_code: int = 0
    approvals: Sequence[Approval] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyChangeRequest:
    """The tokens that move one meter from one key to another.

    Attributes:
        request_id: asking again under it gives the same digits.
        from_register_id: of the key that the meter has.
        to_register_id: of the key that it is to have: SGC, KRN, KEN, base date and key type are that register's.
        pan: 18 digits.
        from_tariff_index: of the key that the meter has.
        to_tariff_index: of the new one.
        encryption_algorithm: 7 or 11, of the meter.
        sections: how many tokens: 2, or 3 to tell the supply group too (EA07); always 4 (EA11).
        may_be_minted: see `vending.ports.MintRequest`; never sent.
        approvals: signatures of two people, beyond what the register gives without.
    """

    request_id: int
    from_register_id: int
    to_register_id: int
    pan: str
    from_tariff_index: int
    to_tariff_index: int
    encryption_algorithm: int
    sections: int
    may_be_minted: bool = False
    approvals: Sequence[Approval] = ()


def sections_of(encryption_algorithm: int) -> int:
    """Return how many tokens a key change of such a meter takes at least.

    >>> sections_of(11)
    4
    """
    return 4 if encryption_algorithm == 11 else 2


class _Credit(Protocol):
    """What is approved of a credit; `vending.ports.MintRequest` is one."""

    @property
    def request_id(self) -> int:
        """The id of the request."""

    @property
    def register_id(self) -> int:
        """The key register."""

    @property
    def pan(self) -> str:
        """18 digits."""

    @property
    def subclass(self) -> int:
        """The credit sub-class."""

    @property
    def tokens(self) -> Sequence[tuple[int, Tenths]]:
        """Identifier and units of each."""


def approval_octets(request: "EngineeringRequest | KeyChangeRequest | _Credit", expires_unix_seconds: int) -> bytes:
    """Return what a person signs: lines of ``name=value`` in ASCII, in this order, each ended by a line feed.

    >>> asked = EngineeringRequest(request_id=7, register_id=1, pan="600727000000000009", tariff_index=1,
    ...     encryption_algorithm=7, kind=EngineeringKind.POWER_LIMIT, value=3000, tid=5)
    >>> print(approval_octets(asked, 1_800_000_000).decode(), end="")
    eudora approval 1
    request=7
    meter=600727000000000009
    kind=power_limit
    amount=3000
    register=1
    expires=1800000000
    """
    if isinstance(request, EngineeringRequest):
        maker = f"/{request.maker_code}" if request.maker_code else ""
        kind, amount, register = request.kind.word + maker, str(request.value), str(request.register_id)
    elif isinstance(request, KeyChangeRequest):
        kind, amount = "key_change", str(request.sections)
        register = (
            f"{request.from_register_id}/{request.from_tariff_index:02d}-"
            f"{request.to_register_id}/{request.to_tariff_index:02d}"
        )
    else:
        kind, register = f"credit/{request.subclass}", str(request.register_id)
        amount = "+".join(str(units) for _, units in request.tokens)
    lines = (
        "eudora approval 1",
        f"request={request.request_id}",
        f"meter={request.pan}",
        f"kind={kind}",
        f"amount={amount}",
        f"register={register}",
        f"expires={expires_unix_seconds}",
    )
    return "".join(f"{line}\n" for line in lines).encode("ascii")
