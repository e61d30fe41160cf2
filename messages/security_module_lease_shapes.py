"""What is asked and answered about leases of vendor terminals, as frozen objects.

Leases and closing statements travel as the octets that were signed; who reads them is `security_module.lease`.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class AskLease:
    """Give the lease that follows a till's closing *statement*: at a head-end's module."""

    statement: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptLease:
    """Put *lease* in force: at a till's module."""

    lease: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseLease:
    """Mint no more under the lease in force and say, signed, what was minted under it: at a till's module."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLease:
    """What is left of the lease in force? At a till's module.

    Attributes:
        journal: epoch and number of sales that stand in the client's own journal; where the module has others, one of the two was
            set back, and the lease is locked. None: only to look.
    """

    journal: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeTerminal:
    """Give this terminal no lease any more, for ever: at a head-end's module."""

    terminal_id: str


LeaseRequest = AskLease | AcceptLease | CloseLease | ReadLease | RevokeTerminal


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseGiven:
    """The signed lease."""

    lease: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseAccepted:
    """It is in force."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseClosed:
    """The signed closing statement; the same one when it is asked for again."""

    statement: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseLeft:
    """What is left of a till's lease.

    Attributes:
        epoch: the newest that was accepted; 0: none.
        is_in_force: accepted, not closed and not locked; whether its time is over is for the reader to see.
        sales: how many more; 0 where no lease is open, as all that follow.
        centavos: money.
        units_tenths: units.
        not_after_unix_seconds: good up to and without.
    """

    epoch: int
    is_in_force: bool
    sales: int
    centavos: int
    units_tenths: int
    not_after_unix_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminalRevoked:
    """It gets no lease any more. The one that it has is good until its end."""


LeaseReply = LeaseGiven | LeaseAccepted | LeaseClosed | LeaseLeft | TerminalRevoked
