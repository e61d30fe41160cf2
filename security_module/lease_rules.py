"""What follows from leases: what a till may mint under one, which one it may accept, and which one a head-end gives. Pure.

Source: docs/security-module/leases.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from messages.security_module import MintRequest, Status
from security_module.lease import EPOCH_MAX, Lease, Statement, read_statement
from security_module.registers import VendingRegister
from security_module.rules import counted_centavos, units_of
from security_module.vendors import LeaseLimits

CLOCKS_APART_SECONDS_MAX = 300
"""A lease is good from so long before it was signed: the till's clock may be that slow."""
STEP_SECONDS_MAX = 600.0
"""A till's clock that is set by more while a lease is in force locks it: what it mints then has identifiers that meters may not like."""


@dataclass(slots=True)
class Use:
    """What was minted under the lease in force.

    Attributes:
        sales: mints.
        charged_centavos: their money.
        units_tenths: their units.
        day: the local day of the last mint.
        by_meter: money of that day by meter, as digests, whatever the lease; other days are of no use any more.
    """

    sales: int = 0
    charged_centavos: int = 0
    units_tenths: int = 0
    day: date | None = None
    by_meter: dict[bytes, int] = field(default_factory=dict)

    def of_meter(self, meter: bytes, day: date) -> int:
        """Return the money that *meter* was sold for on *day*."""
        return self.by_meter.get(meter, 0) if day == self.day else 0

    def add(self, meter: bytes, day: date, charged_centavos: int, units_tenths: int) -> None:
        """Count one more sale."""
        if day != self.day:
            self.day, self.by_meter = day, {}
        self.sales += 1
        self.charged_centavos += charged_centavos
        self.units_tenths += units_tenths
        self.by_meter[meter] = self.by_meter.get(meter, 0) + charged_centavos

    def copy(self) -> "Use":
        """Return a copy that may be added to."""
        return Use(self.sales, self.charged_centavos, self.units_tenths, self.day, dict(self.by_meter))


def find_mint_refusal(
    lease: Lease | None,
    register: VendingRegister,
    request: MintRequest,
    *,
    now: datetime,
    use: Use,
    meter_day_centavos: int,
    is_locked: bool,
) -> Status | None:
    """Return why *request* may not be minted under *lease*, or None if it may; what the register says of it comes besides.

    Args:
        lease: the one in force; None: none is.
        register: the one that the request names.
        request: as decoded.
        now: the till's clock.
        use: what was minted under the lease.
        meter_day_centavos: what this meter was sold for on this local day.
        is_locked: the clock was set while the lease was in force.
    """
    if lease is None:
        return Status.LEASE_NEEDED
    if not lease.not_before_unix_seconds <= now.timestamp() < lease.not_after_unix_seconds:
        return Status.LEASE_NOT_VALID
    if is_locked:
        return Status.LEASE_LOCKED
    if (register.supply_group_code, register.key_revision_number) not in lease.supply_groups:
        return Status.LEASE_FORBIDS
    charged, limits = counted_centavos(register, request), lease.limits
    # A till that says nothing would pass every limit in money.
    if request.charged_centavos is None or charged > limits.sale_max_centavos:
        return Status.LEASE_SALE_LIMIT
    for limit, used, status in (
        (limits.meter_day_max_centavos, meter_day_centavos + charged, Status.LEASE_METER_LIMIT),
        (limits.credit_centavos, use.charged_centavos + charged, Status.LEASE_MONEY_LIMIT),
        (limits.units_tenths, use.units_tenths + units_of(request), Status.LEASE_UNITS_LIMIT),
        (limits.sales_max, use.sales + 1, Status.LEASE_SALES_LIMIT),
    ):
        if used > limit:
            return status
    return None


def find_acceptance_refusal(
    lease: Lease, *, terminal_id: str, epoch_seen: int, closing: Statement | None, now: datetime
) -> Status | None:
    """Return why a till may not accept *lease*, whose signature is proved, or None if it may.

    Args:
        lease: what was brought.
        terminal_id: who the till is.
        epoch_seen: the highest epoch it has accepted; 0: none.
        closing: its statement on that epoch; None: that lease is still open, or nothing was ever asked for.
        now: the till's clock.
    """
    if lease.terminal_id != terminal_id:
        return Status.LEASE_INVALID
    if lease.epoch <= epoch_seen:
        return Status.LEASE_REPLAYED
    if closing is None:
        return Status.LEASE_OPEN
    if lease.previous_link != closing.link:
        return Status.LEASE_CHAIN
    if not lease.not_before_unix_seconds <= now.timestamp() < lease.not_after_unix_seconds:
        return Status.LEASE_NOT_VALID
    return None


def exceeds(statement: Statement, limits: LeaseLimits) -> bool:
    """Whether a till says that it minted more than its lease allowed, which no honest module does."""
    return (
        statement.charged_centavos > limits.credit_centavos
        or statement.units_tenths > limits.units_tenths
        or statement.sales > limits.sales_max
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A lease as the head-end keeps it.

    Attributes:
        lease: what it says.
        signed: the octets that left.
        request: the closing statement that was shown for it.
    """

    lease: Lease
    signed: bytes
    request: bytes


def judge_request(
    signed_statement: bytes, statement: Statement, issued: Mapping[int, Issued], now: datetime
) -> Status | Issued | int:
    """Decide what a terminal gets for a closing statement whose signature is proved.

    Args:
        signed_statement: as it came.
        statement: what it says.
        issued: all leases of the terminal, by epoch.
        now: the head-end's clock.

    Returns:
        A lease that was given for the same statement before and is still good; or the epoch of a new one; or a refusal, where
        `Status.TERMINAL_FROZEN` means that two statements contradict each other: the till's store was copied or set back.
    """
    latest = max(issued, default=0)
    last = issued.get(latest)
    if last is not None and last.request == signed_statement:
        # One that is over was never accepted, says the till; it stays among what may be lost, because nobody proves it.
        return last if now.timestamp() < last.lease.not_after_unix_seconds else latest + 1
    if any(each.request == signed_statement for each in issued.values()):
        return Status.LEASE_REPLAYED
    if statement.epoch != latest:
        return Status.TERMINAL_FROZEN
    if last is not None and exceeds(statement, last.lease.limits):
        return Status.TERMINAL_FROZEN
    return latest + 1 if latest < EPOCH_MAX else Status.TERMINAL_FROZEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What a head-end knows of one terminal's leases.

    Attributes:
        epoch: of the newest lease.
        not_after_unix_seconds: its end.
        live_centavos: its credit: not closed yet, so all of it may be sold and lost.
        lapsed_centavos: credit of leases that went by, says the till, without being accepted; nobody proves it.
        settled_sales: sales of all leases that were closed.
        settled_centavos: their money, which the vendor owes or has handed in.
    """

    epoch: int
    not_after_unix_seconds: int
    live_centavos: int
    lapsed_centavos: int
    settled_sales: int
    settled_centavos: int

    @property
    def at_risk_centavos(self) -> int:
        """The most that can be lost with this terminal, if its store was not copied."""
        return self.live_centavos + self.lapsed_centavos


def account_of(issued: Mapping[int, Issued]) -> Account:
    """Add up the leases of one terminal, by epoch; there is at least one."""
    newest = issued[max(issued)].lease
    lapsed = settled_sales = settled = 0
    for epoch, each in issued.items():
        if epoch == newest.epoch:
            continue
        closing = read_statement(issued[epoch + 1].request)
        if closing.epoch == epoch:
            settled_sales += closing.sales
            settled += closing.charged_centavos
        else:
            lapsed += each.lease.limits.credit_centavos
    return Account(
        epoch=newest.epoch,
        not_after_unix_seconds=newest.not_after_unix_seconds,
        live_centavos=newest.limits.credit_centavos,
        lapsed_centavos=lapsed,
        settled_sales=settled_sales,
        settled_centavos=settled,
    )
