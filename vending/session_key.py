"""The session keys of a network: which one is in force, which is offered, which is still honoured. Keys themselves never come here.

Life of one: offered -> in_force -> retired; dropped where its maker offered another before anybody used it, or a later one came into force.
It comes into force with the first message that is right under it, because only then both ends have it.

One of ours and one of theirs may be offered at the same time: a late copy of a request for a key must not undo the key that the partner gave
after it and goes on to use.
"""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Protocol

from vending.ports import MacKey

GENERATION_MAX = 2**31 - 1
STATIC_GENERATION = 0
"""The key of the register itself, before the first change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionKey:
    """A session key as a security module hands it out.

    Attributes:
        token: sealed, for the ledger; shown again with each MAC. Useless without a module.
        wrapped: for the wire; empty where the partner wrapped it.
        kcv: check value, 6 hexadecimal digits, small letters.
    """

    token: bytes = field(repr=False)
    wrapped: bytes = field(repr=False)
    kcv: str


class SessionKeyModule(Protocol):
    """The security module where keys are changed; raises as `vending.ports.SecurityModule` does."""

    def make_session_key(self, zone_register_id: int, generation: int) -> Awaitable[SessionKey]:
        """Return our key of *generation*; asked again, here or elsewhere, it is the same."""

    def take_session_key(
        self, zone_register_id: int, generation: int, wrapped: bytes, kcv: str
    ) -> Awaitable[SessionKey]:
        """Take in what a partner wrapped; `ModuleRefused` if the check value is another."""

    def retire_key(self, zone_register_id: int, key: MacKey, seconds: int) -> Awaitable[SessionKey]:
        """Return a token of *key* that the module refuses *seconds* from now."""


class KeyOrigin(Enum):
    """Who made a key."""

    OURS = "ours"
    THEIRS = "theirs"
    STATIC = "static"
    """The key of the register."""


class KeyState(Enum):
    """Where a key stands."""

    OFFERED = "offered"
    IN_FORCE = "in_force"
    RETIRED = "retired"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptKey:
    """One session key as the ledger keeps it.

    Attributes:
        generation: counts up, one for each key that was ever offered; 0 is the register's own.
        origin: who made it.
        state: see `KeyState`.
        key: as the module handed it out; a retired one's token ends by the module's clock.
        changed_at: when it came into its state, aware.
        honoured_until: of a retired one; aware, our clock. The module decides, this only saves questions.
    """

    generation: int
    origin: KeyOrigin
    state: KeyState
    key: SessionKey
    changed_at: datetime
    honoured_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysSeen:
    """The keys of one network at one moment.

    Attributes:
        highest: generation that was ever offered.
        in_force: None: the register's own key.
        offered: the newest first, one of each maker at most.
        retired: the one that was in force before.
    """

    highest: int = STATIC_GENERATION
    in_force: KeptKey | None = None
    offered: Sequence[KeptKey] = ()
    retired: KeptKey | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAtKeys:
    """Which keys does this network have now?"""

    acquirer_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferKey:
    """Write a key down before the partner hears of it, or is told that we have his. One of the same maker that was offered before is dropped.

    Nothing is written unless *generation* is the next one.
    """

    acquirer_id: str
    generation: int
    origin: KeyOrigin
    key: SessionKey
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmKey:
    """A message was right under the offered key: it is in force, the one before is retired. Nothing is written if it was before.

    Attributes:
        generation: of the offered key.
        retired: the key that was in force, with its new token.
        retired_generation: of that one, `STATIC_GENERATION` for the register's own.
    """

    acquirer_id: str
    generation: int
    retired: SessionKey
    retired_generation: int
    honoured_until: datetime
    at: datetime


KeyItem = LookAtKeys | OfferKey | ConfirmKey


def usable(seen: KeysSeen, now: datetime) -> Sequence[KeptKey | None]:
    """Return the keys that a message may be under, the likeliest first; None is the register's own."""
    keys: list[KeptKey | None] = [seen.in_force]
    keys.extend(seen.offered)
    if seen.retired is not None and seen.retired.honoured_until is not None and now < seen.retired.honoured_until:
        keys.append(seen.retired)
    return keys
