"""Adjustments in the books: proposed by one person, decided by another, and what follows from an approval.

Money is posted in the transaction that approves it. A token takes two: the approval reserves its identifier and fixes the id that
the security module is asked by, and `store_token` writes the digits that the module gave. In between the token is open; asking the
module again by the same id gives the same digits, so whoever comes later can finish it.

The order of locks: the adjustment, then as everywhere meters ascending and accounts ascending. The meter of the sale is locked too: so
two refunds of one sale, or a refund and a reversal that parks it, see each other.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, text

from ledger import arrays, schema
from ledger.adjustment_rules import adjustment_lines
from ledger.database import transact
from ledger.entries import write_entry
from ledger.notices import tell_adjustment
from sts.codes import BaseDate
from sts.errors import FieldRangeError
from sts.tid import next_tids
from vending.adjustment import (
    AdjustmentKind,
    AdjustmentRefusal,
    AdjustmentRefused,
    AdjustmentState,
    MeterFacts,
    Proposal,
    SaleFacts,
    check_meter,
    check_sale,
    is_decided,
    user_named,
)
from vending.calendar import local_date, month_start_utc
from vending.engineering import EngineeringRequest
from vending.money import Centavos, Tenths
from vending.ports import MintRequest
from vending.secret import Secret
from vending.service import Service

ADJUSTMENTS_PER_LIST_MAX = 200
"""A list is for a person to read."""

_READ = """
    SELECT a.*, m.meter_number, m.pan, m.service, t.mint_id, t.register_id, t.tariff_index, t.encryption_algorithm, t.tid, t.digits
    FROM adjustment AS a JOIN meter AS m ON m.id = a.meter_id LEFT JOIN adjustment_token AS t ON t.adjustment_id = a.id
"""
_READ_ONE = text(f"{_READ} WHERE a.id = :id")
_LOCK_ONE = text(f"{_READ} WHERE a.id = :id FOR NO KEY UPDATE OF a")
_LIST = text(f"{_READ} WHERE a.state = ANY (CAST(:states AS text[])) ORDER BY a.id DESC LIMIT :most")
_OPEN = text(f"{_READ} WHERE t.adjustment_id IS NOT NULL AND t.digits IS NULL ORDER BY a.id LIMIT :most")

_READ_SALE = text("""
    SELECT s.state, s.meter_id, m.holder_id, m.service, s.paid_centavos, s.units_tenths,
        p.sale_id IS NOT NULL AS is_parked, p.claimed_at IS NOT NULL AS is_claimed
    FROM sale AS s JOIN meter AS m ON m.id = s.meter_id LEFT JOIN parked_token AS p ON p.sale_id = s.id WHERE s.id = :id
""")

_GIVEN_BEFORE = text("""
    SELECT coalesce(sum(amount_centavos), 0)::bigint AS centavos, coalesce(sum(units_tenths), 0)::bigint AS tenths
    FROM adjustment WHERE sale_id = :id AND state = 'approved' AND kind <> 'free_token'
""")

_METER = """
    SELECT m.id, m.holder_id, m.service, m.status, m.held_by, m.last_tid, m.register_id, m.tariff_index, m.encryption_algorithm,
        r.base_year
    FROM meter AS m JOIN key_register AS r ON r.id = m.register_id
"""
_FIND_METER = text(f"{_METER} WHERE m.meter_number = :number")
_READ_METER = text(f"{_METER} WHERE m.id = :id")
_LOCK_METERS = text("""
    SELECT id FROM meter WHERE id IN (:meter_id, (SELECT meter_id FROM sale WHERE id = :sale_id)) ORDER BY id FOR NO KEY UPDATE
""")

_FREE_IN_MONTH = text("""
    SELECT count(*) FROM adjustment WHERE meter_id = :id AND kind = 'free_token' AND state = 'approved' AND decided_at >= :since
""")

_DECIDE = text("""
    UPDATE adjustment SET state = :state, decided_by = :user, decided_at = :at, entry_id = :entry_id WHERE id = :id
""")

_STORE_DIGITS = text("""
    UPDATE adjustment_token SET digits = :digits, minted_at = :at WHERE adjustment_id = :id AND digits IS NULL
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdjustmentToken:
    """The token of an approved adjustment: what the module is asked, and its digits once it answered."""

    request: MintRequest | EngineeringRequest
    digits: Secret[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjustment:
    """An adjustment as it is stored. ``token`` is there when one was approved, with or without its digits."""

    adjustment_id: int
    kind: AdjustmentKind
    state: AdjustmentState
    meter_number: str
    service: Service
    sale_id: int | None
    amount_centavos: Centavos
    units_tenths: Tenths
    evidence: str
    proposed_by: str
    proposed_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    entry_id: int | None
    token: AdjustmentToken | None
    value: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it is approved and the digits of its token are not known yet."""
        return self.token is not None and self.token.digits is None


def propose(engine: Engine, proposal: Proposal, at: datetime) -> Adjustment:
    """Write a proposal; nothing is given yet.

    What the sale and the meter allow is looked at here, for the sake of who types, and again under locks when it is approved.
    A meter that a sale holds just now, or a free token too many, is the approval's business: it passes.

    Raises:
        AdjustmentRefused: with the reason; nothing was written.
        LedgerUnavailable: nothing was written.
        LedgerOutcomeUnknown: look at the list before proposing again.
    """

    def work(connection: Connection, _attempt: int) -> Adjustment:
        sale = None if proposal.sale_id is None else _sale_facts(connection, proposal.sale_id)
        if proposal.meter_number is not None:
            row = connection.execute(_FIND_METER, {"number": proposal.meter_number}).one_or_none()
            if row is None:
                raise AdjustmentRefused(AdjustmentRefusal.METER_UNKNOWN, proposal.meter_number)
        else:
            assert sale is not None, "a proposal names a meter or a sale"
            row = connection.execute(_READ_METER, {"id": sale.meter_id}).one()
        if sale is not None:
            meter = _meter_facts(row, free_tokens_in_month=0)
            check_sale(proposal.kind, proposal.amount_centavos, proposal.units_tenths, sale, meter)
        written = schema.adjustment.insert().values(
            kind=proposal.kind.value,
            meter_id=row.id,
            sale_id=proposal.sale_id,
            amount_centavos=proposal.amount_centavos,
            units_tenths=proposal.units_tenths,
            value=proposal.value,
            evidence=proposal.evidence,
            proposed_by=proposal.proposed_by,
            proposed_at=at,
        )
        adjustment_id: int = connection.execute(written.returning(schema.adjustment.c.id)).scalar_one()
        return _read(connection, adjustment_id)

    return transact(engine, work)


def approve(
    engine: Engine, adjustment_id: int, user: str, at: datetime, *, told: Collection[str] = frozenset()
) -> Adjustment:
    """Approve a proposal of somebody else: its money is posted, or its token reserved, in the same transaction.

    Approving again, as the same person, changes nothing and returns the adjustment as it is now; so it may be repeated after an
    unknown outcome. A token that comes back without digits is for the security module next, and then for `store_token`.
    Of *told*, the networks that want to be told, the one whose sale it is about gets a notice.

    Raises:
        AdjustmentRefused: with the reason; nothing was written.
        LedgerUnavailable: nothing was written.
        LedgerOutcomeUnknown: approve again.
    """
    decider = user_named(user)

    def work(connection: Connection, _attempt: int) -> Adjustment:
        row = _lock(connection, adjustment_id)
        if _is_decided(row, decider, AdjustmentState.APPROVED):
            return _adjustment_of(row)
        meter = _check_under_locks(connection, row, at)
        kind = AdjustmentKind(row.kind)
        entry_id = _post(connection, row, at) if kind.gives_money else None
        decision = {"id": row.id, "state": "approved", "user": decider, "at": at, "entry_id": entry_id}
        connection.execute(_DECIDE, decision)
        if not kind.gives_money:
            _reserve_token(connection, row, meter, at)
        if told:
            tell_adjustment(connection, adjustment_id, told, at)
        return _read(connection, adjustment_id)

    return transact(engine, work)


def reject(engine: Engine, adjustment_id: int, user: str, at: datetime) -> Adjustment:
    """Reject a proposal of somebody else; rejecting again, as the same person, changes nothing.

    Raises:
        AdjustmentRefused: with the reason; nothing was written.
        LedgerUnavailable: nothing was written.
        LedgerOutcomeUnknown: reject again.
    """
    decider = user_named(user)

    def work(connection: Connection, _attempt: int) -> Adjustment:
        row = _lock(connection, adjustment_id)
        if _is_decided(row, decider, AdjustmentState.REJECTED):
            return _adjustment_of(row)
        connection.execute(_DECIDE, {"id": row.id, "state": "rejected", "user": decider, "at": at, "entry_id": None})
        return _read(connection, adjustment_id)

    return transact(engine, work)


def store_token(engine: Engine, adjustment_id: int, digits: Secret[str], at: datetime) -> Adjustment:
    """Store the digits that the module gave for an approved adjustment; only then may anybody see them.

    Storing the same again changes nothing.

    Raises:
        LookupError: no such token, or it has other digits: a bug of the caller or of the module.
        LedgerUnavailable: nothing was written.
        LedgerOutcomeUnknown: store again.
    """

    def work(connection: Connection, _attempt: int) -> Adjustment:
        connection.execute(_STORE_DIGITS, {"id": adjustment_id, "digits": digits.reveal(), "at": at})
        stored = _read(connection, adjustment_id)
        if stored.token is None or stored.token.digits != digits:
            raise LookupError(f"adjustment {adjustment_id} has no token, or another one")
        return stored

    return transact(engine, work)


def read(engine: Engine, adjustment_id: int) -> Adjustment:
    """Return one adjustment.

    Raises:
        AdjustmentRefused: `AdjustmentRefusal.ADJUSTMENT_UNKNOWN`.
        LedgerUnavailable: the database cannot be reached.
    """
    return transact(engine, lambda connection, _attempt: _read(connection, adjustment_id))


def find(engine: Engine, state: AdjustmentState | None = None) -> list[Adjustment]:
    """Return adjustments in one state, or in any; the newest first, at most `ADJUSTMENTS_PER_LIST_MAX`.

    Raises:
        LedgerUnavailable: the database cannot be reached.
    """
    states = [each.value for each in AdjustmentState] if state is None else [state.value]
    values = {"states": arrays.texts(states), "most": ADJUSTMENTS_PER_LIST_MAX}
    return transact(engine, lambda connection, _: [_adjustment_of(row) for row in connection.execute(_LIST, values)])


def find_open(engine: Engine) -> list[Adjustment]:
    """Return approved adjustments whose tokens have no digits yet; the oldest first, at most `ADJUSTMENTS_PER_LIST_MAX`.

    Raises:
        LedgerUnavailable: the database cannot be reached.
    """
    values = {"most": ADJUSTMENTS_PER_LIST_MAX}
    return transact(engine, lambda connection, _: [_adjustment_of(row) for row in connection.execute(_OPEN, values)])


def _lock(connection: Connection, adjustment_id: int) -> Any:
    row = connection.execute(_LOCK_ONE, {"id": adjustment_id}).one_or_none()
    if row is None:
        raise AdjustmentRefused(AdjustmentRefusal.ADJUSTMENT_UNKNOWN, str(adjustment_id))
    return row


def _is_decided(row: Any, user: str, wanted: AdjustmentState) -> bool:
    return is_decided(
        AdjustmentState(row.state), proposed_by=row.proposed_by, decided_by=row.decided_by, user=user, wanted=wanted
    )


def _check_under_locks(connection: Connection, row: Any, at: datetime) -> Any:
    """Lock the meters, refuse what does not hold now, and return the row of the adjustment's meter."""
    kind = AdjustmentKind(row.kind)
    connection.execute(_LOCK_METERS, {"meter_id": row.meter_id, "sale_id": row.sale_id})
    # Statements of their own: they see what others committed while this transaction waited.
    meter_row = connection.execute(_READ_METER, {"id": row.meter_id}).one()
    sale = None if row.sale_id is None else _sale_facts(connection, row.sale_id)
    since = month_start_utc(local_date(at))
    free = connection.execute(_FREE_IN_MONTH, {"id": row.meter_id, "since": since}).scalar_one()
    meter = _meter_facts(meter_row, free_tokens_in_month=free)
    if sale is not None:
        check_sale(kind, Centavos(row.amount_centavos), Tenths(row.units_tenths), sale, meter)
    check_meter(kind, meter)
    return meter_row


def _sale_facts(connection: Connection, sale_id: int) -> SaleFacts:
    row = connection.execute(_READ_SALE, {"id": sale_id}).one_or_none()
    if row is None:
        raise AdjustmentRefused(AdjustmentRefusal.SALE_UNKNOWN, str(sale_id))
    before = connection.execute(_GIVEN_BEFORE, {"id": sale_id}).one()
    return SaleFacts(
        is_posted=row.state == "posted",
        is_parked=row.is_parked,
        is_claimed=row.is_claimed,
        meter_id=row.meter_id,
        holder_id=row.holder_id,
        service=Service(row.service),
        paid_centavos=Centavos(row.paid_centavos),
        units_tenths=Tenths(row.units_tenths),
        returned_centavos=Centavos(before.centavos),
        replaced_tenths=Tenths(before.tenths),
    )


def _meter_facts(row: Any, *, free_tokens_in_month: int) -> MeterFacts:
    return MeterFacts(
        meter_id=row.id,
        holder_id=row.holder_id,
        service=Service(row.service),
        is_blocked=row.status != "active",
        is_held=row.held_by is not None,
        free_tokens_in_month=free_tokens_in_month,
    )


def _post(connection: Connection, row: Any, at: datetime) -> int:
    """Move the meter's remainder, and write the compensating entry; return its id."""
    kind = AdjustmentKind(row.kind)
    if kind is AdjustmentKind.CREDIT:
        table = schema.meter
        added = table.c.remainder_centavos + row.amount_centavos
        connection.execute(table.update().where(table.c.id == row.meter_id).values(remainder_centavos=added))
    about = "" if row.sale_id is None else f" of sale {row.sale_id}"
    return write_entry(
        connection,
        kind="adjustment",
        at=at,
        memo=f"adjustment {row.id}: {kind.value}{about}",
        lines=adjustment_lines(kind, Centavos(row.amount_centavos)),
        meter_id=row.meter_id,
    )


def _reserve_token(connection: Connection, row: Any, meter: Any, at: datetime) -> None:
    """Spend a token identifier of the meter and fix what the module will be asked, under an id that no sale has."""
    tid: int | None = None
    engineering = AdjustmentKind(row.kind).engineering
    if engineering is None or not engineering.is_test:
        try:
            (tid,) = next_tids(at, meter.last_tid or None, _base_date(meter.base_year), 1)
        except FieldRangeError as error:
            raise AdjustmentRefused(AdjustmentRefusal.NO_TOKEN_IDENTIFIER, str(error)) from error
    connection.execute(
        schema.adjustment_token.insert().values(
            adjustment_id=row.id,
            mint_id=schema.ledger_id.next_value(),
            meter_id=meter.id,
            register_id=meter.register_id,
            tariff_index=meter.tariff_index,
            encryption_algorithm=meter.encryption_algorithm,
            tid=tid,
            units_tenths=row.units_tenths,
            reserved_at=at,
        )
    )
    if tid is not None:
        table = schema.meter
        connection.execute(table.update().where(table.c.id == meter.id).values(last_tid=tid))


def _base_date(year: int) -> BaseDate:
    return next(base_date for base_date in BaseDate if base_date.year == year)


def _read(connection: Connection, adjustment_id: int) -> Adjustment:
    row = connection.execute(_READ_ONE, {"id": adjustment_id}).one_or_none()
    if row is None:
        raise AdjustmentRefused(AdjustmentRefusal.ADJUSTMENT_UNKNOWN, str(adjustment_id))
    return _adjustment_of(row)


def _adjustment_of(row: Any) -> Adjustment:
    return Adjustment(
        adjustment_id=row.id,
        kind=AdjustmentKind(row.kind),
        state=AdjustmentState(row.state),
        meter_number=row.meter_number,
        service=Service(row.service),
        sale_id=row.sale_id,
        amount_centavos=Centavos(row.amount_centavos),
        units_tenths=Tenths(row.units_tenths),
        evidence=row.evidence,
        proposed_by=row.proposed_by,
        proposed_at=row.proposed_at,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        entry_id=row.entry_id,
        token=None if row.mint_id is None else _token_of(row),
        value=row.value,
    )


def _token_of(row: Any) -> AdjustmentToken:
    request: MintRequest | EngineeringRequest
    digits = None if row.digits is None else Secret(row.digits)
    engineering = AdjustmentKind(row.kind).engineering
    if engineering is not None:
        request = EngineeringRequest(
            request_id=row.mint_id,
            register_id=row.register_id,
            pan=row.pan,
            tariff_index=row.tariff_index,
            encryption_algorithm=row.encryption_algorithm,
            kind=engineering,
            value=row.value,
            tid=row.tid or 0,
        )
        return AdjustmentToken(request=request, digits=digits)
    request = MintRequest(
        request_id=row.mint_id,
        register_id=row.register_id,
        pan=row.pan,
        tariff_index=row.tariff_index,
        encryption_algorithm=row.encryption_algorithm,
        subclass=row.service,
        tokens=((row.tid, Tenths(row.units_tenths)),),
        charged_centavos=Centavos(0),
    )
    return AdjustmentToken(request=request, digits=digits)
