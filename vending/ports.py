"""What the core needs from outside, as small protocols. Adapters implement them; tests use fakes."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Protocol

from vending.engineering import Approval, KeyChangeRequest
from vending.money import Centavos, Tenths
from vending.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class MintRequest:
    """All tokens of one sale, minted together or not at all.

    Attributes:
        request_id: the sale's id; asking again under it gives the same digits.
        register_id: the key register of the module; it decides SGC, KRN, KEN, base date, key type and DKGA.
        pan: 18 digits.
        tariff_index: 0 to 99.
        encryption_algorithm: 7 or 11.
        subclass: STS credit sub-class 0 to 3.
        tokens: (TID, tenths of a unit) each, in order, 1 to 16 of them.
        may_be_minted: whether some module may have been asked for this id before, by whomever; then only the refusal of a module
            that stands alone proves that no token exists. For the client only, never sent.
        charged_centavos: what the customer pays for these units, for the money limits of the register; it changes no digit. None: not
            said, as switches did that knew of no such limit.
        approvals: signatures of two people, for units that nobody pays for beyond what the register gives without.
    """

    request_id: int
    register_id: int
    pan: str
    tariff_index: int
    encryption_algorithm: int
    subclass: int
    tokens: Sequence[tuple[int, Tenths]]
    may_be_minted: bool = False
    charged_centavos: Centavos | None = None
    approvals: Sequence[Approval] = ()


class MacScheme:
    """Names of the supported MAC algorithms, as configuration and the module's protocol spell them."""

    X9_9 = "X9.9"
    X9_19 = "X9.19"
    AES_CMAC = "AES-CMAC"


@dataclass(frozen=True, slots=True, kw_only=True)
class MacKey:
    """Which key of the module signs a message.

    ``diversifier`` is the terminal id where each terminal has a key of its own, derived in the module; empty otherwise. ``session`` is the
    token of a session key, and ``register_id`` then the register of its zone key; empty otherwise. ``ksn`` is the key serial number of a request
    (10 octets, or 12 for AES) where each message has a key of its own (DUKPT); empty otherwise.
    """

    register_id: int
    scheme: str
    diversifier: str
    session: bytes = b""
    ksn: bytes = b""


class ModuleUnavailable(Exception):
    """The request certainly never reached a security module: nothing was minted."""


class ModuleOutcomeUnknown(Exception):
    """The request may have reached the module and no answer came: ask again by the same id."""


class ModuleRefused(Exception):
    """The module understood and refused; nothing was minted and nothing will be under this id. ``status`` is its code."""

    def __init__(self, status: str, meaning: str) -> None:
        super().__init__(status, meaning)
        self.status = status
        self.meaning = meaning


class MacMismatch(Exception):
    """The MAC is wrong."""


class SecurityModule(Protocol):
    """The networked security module, as the switch sees it.

    Every method raises `ModuleUnavailable`, `ModuleOutcomeUnknown` or `ModuleRefused`. With ``timeout_seconds`` the caller says how long
    he still has; it only ever shortens the client's own limit.
    """

    def mint(self, request: MintRequest, *, timeout_seconds: float | None = None) -> Awaitable[Sequence[Secret[str]]]:
        """Mint the tokens of one sale: 20 digits each, in the order asked for."""

    def change_key(
        self, request: KeyChangeRequest, *, timeout_seconds: float | None = None
    ) -> Awaitable[Sequence[Secret[str]]]:
        """Make the tokens that move a meter to another key: 20 digits each, in the order of entry."""

    def generate_mac(self, key: MacKey, data: bytes) -> Awaitable[bytes]:
        """Return 8 octets of MAC over *data*."""

    def verify_mac(
        self, key: MacKey, data: bytes, mac: bytes, *, timeout_seconds: float | None = None
    ) -> Awaitable[None]:
        """Return if *mac* is right, else raise `MacMismatch`."""
