"""Commit 1: a batch of orders is journaled, priced and reserved in one transaction, with the same few statements whatever its size.

The order of locks is the same everywhere: meters ascending, then accounts ascending, last. The float of a busy network is the one
row that every sale needs, so it is read first without a lock and taken with a condition at the very end; if the condition fails,
somebody else sold meanwhile, and the batch runs again with the floats locked as soon as its meters are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, TextClause, text

from ledger import arrays, journal
from ledger.available import AVAILABLE
from ledger.claims import bind_claims, read_parked
from ledger.database import Retry, transact
from ledger.key_changes import Target, moved, read_targets, write_statements
from ledger.meters import Accounts, MeterState, account_statements, accounts_of
from ledger.pricing import Rules, check_meter, price, price_with_parked
from ledger.quote_lines import lines_as_json
from ledger.rounds import together
from sts.errors import FieldRangeError
from sts.tid import next_tids
from vending.calendar import local_date
from vending.commission import Commission, commission_of
from vending.deductions import Deduction
from vending.key_change import KeyChange, KeyChangePolicy
from vending.money import Centavos
from vending.order import (
    Busy,
    Conflict,
    Declined,
    OrderKind,
    RequestKey,
    Reserved,
    ReservedSale,
    ReserveResult,
    SaleOrder,
    TokenOrder,
    Unresolved,
)
from vending.parked import ParkedSale
from vending.policy import SalePolicy
from vending.quote import Quote
from vending.response_code import Refusal, ResponseCode
from vending.tariff import TariffBook

ORDERS_PER_BATCH_MAX = 1024
"""One transaction holds its meters until it commits; larger batches gained nothing and made everybody wait."""

_ADMIT = text(f"""
    SELECT o.position, nextval('ledger_id') AS new_id, j.digest, j.code, j.sale_id, j.answer, t.status AS terminal_status,
        a.status AS acquirer_status, a.settlement_date, a.float_account_id, a.commission_account_id,
        coalesce(c.share_basis_points, 0) AS share_basis_points, coalesce(c.fixed_centavos, 0) AS fixed_centavos,
        coalesce(c.tax_basis_points, 0) AS tax_basis_points, {AVAILABLE} AS available_centavos
    FROM unnest({journal.KEY_ARRAYS}, CAST(:days AS date[]), CAST(:paid AS bigint[]))
        WITH ORDINALITY AS o ({journal.KEY_COLUMNS}, day, paid, position)
    LEFT JOIN acquirer AS a ON a.code = o.acquirer_code
    LEFT JOIN LATERAL (
        SELECT each.share_basis_points, each.fixed_centavos, each.tax_basis_points FROM commission_terms AS each
        WHERE each.acquirer_id = a.id AND each.valid_from <= greatest(o.day, a.settlement_date) AND each.from_paid_centavos <= o.paid
        ORDER BY each.valid_from DESC, each.from_paid_centavos DESC LIMIT 1
    ) AS c ON true
    LEFT JOIN terminal AS t ON t.acquirer_id = a.id AND t.code = o.terminal_code
    LEFT JOIN account AS f ON f.id = a.float_account_id
    LEFT JOIN {journal.row_of_key("digest, code, sale_id, answer")}
""")  # noqa: S608 - constants only

_LOCK_FLOATS = text("""
    SELECT id, credit_line_centavos - balance_centavos - pending_centavos AS available_centavos
    FROM account WHERE id = ANY (CAST(:ids AS bigint[])) ORDER BY id FOR NO KEY UPDATE
""")

_WRITE_SALES = text("""
    WITH tokens AS (
        INSERT INTO token (sale_id, position, meter_id, tid, units_tenths)
        SELECT * FROM unnest(CAST(:token_sales AS bigint[]), CAST(:token_positions AS smallint[]),
            CAST(:token_meters AS bigint[]), CAST(:tids AS bigint[]), CAST(:token_units AS bigint[]))
    ), held AS (
        UPDATE meter SET held_by = o.sale_id, last_tid = o.last_tid
        FROM unnest(CAST(:ids AS bigint[]), CAST(:meters AS bigint[]), CAST(:last_tids AS bigint[])) AS o (sale_id, meter_id, last_tid)
        WHERE meter.id = o.meter_id
    )
    INSERT INTO sale (state, id, kind, acquirer_code, terminal_code, transmitted_at, stan, message_class, rrn, meter_id, register_id,
        tariff_index, encryption_algorithm, float_account_id, commission_account_id, local_date, settlement_date, reserved_at, paid_centavos,
        commission_centavos, carried_in_centavos, carried_out_centavos, units_tenths, charged_centavos, full_cost_centavos,
        subsidy_centavos, contribution_centavos, month_to_date_tenths, lines, commission_tax_centavos)
    SELECT 'reserved', o.* FROM unnest(CAST(:ids AS bigint[]), CAST(:kinds AS text[]), CAST(:acquirers AS text[]),
        CAST(:terminals AS text[]), CAST(:transmitted AS timestamptz[]), CAST(:stans AS text[]), CAST(:classes AS text[]),
        CAST(:rrns AS text[]), CAST(:meters AS bigint[]), CAST(:registers AS bigint[]), CAST(:indexes AS smallint[]),
        CAST(:algorithms AS smallint[]), CAST(:floats AS bigint[]), CAST(:commission_accounts AS bigint[]), CAST(:dates AS date[]),
        CAST(:settlement_dates AS date[]), CAST(:reserved AS timestamptz[]), CAST(:paid AS bigint[]), CAST(:commissions AS bigint[]), CAST(:carried_in AS bigint[]),
        CAST(:carried_out AS bigint[]), CAST(:units AS bigint[]), CAST(:charged AS bigint[]), CAST(:full_costs AS bigint[]),
        CAST(:subsidies AS bigint[]), CAST(:contributions AS bigint[]), CAST(:months AS bigint[]), CAST(:lines AS jsonb[]),
        CAST(:commission_taxes AS bigint[])) AS o
""")

_TAKE_FLOATS = text("""
    UPDATE account SET pending_centavos = pending_centavos + o.amount
    FROM unnest(CAST(:ids AS bigint[]), CAST(:amounts AS bigint[])) AS o (id, amount)
    WHERE account.id = o.id AND credit_line_centavos - balance_centavos - pending_centavos >= o.amount
    RETURNING account.id, credit_line_centavos - balance_centavos - pending_centavos AS available_centavos
""")


class _Admission(NamedTuple):
    """An order that is new and whose terminal may sell."""

    position: int
    sale_id: int
    float_account_id: int
    commission_account_id: int
    commission: Commission
    settlement_date: date
    """Of the acquirer, if a cut-over is ahead of the clock."""


class _Sale(NamedTuple):
    """A sale about to be written."""

    reserved: ReservedSale
    admission: _Admission
    last_tid: int
    """Of the meter, from this sale on."""


@dataclass(frozen=True, slots=True)
class Reserver:
    """Reserves batches of orders against one ledger with one set of tariffs and one policy."""

    engine: Engine
    tariffs: TariffBook
    policy: SalePolicy

    def reserve(self, orders: Sequence[SaleOrder]) -> list[ReserveResult]:
        """Journal and reserve a batch; afterwards it is durable. Results stand in the order of *orders*.

        The first order on a meter wins; others on the same meter are `Busy`, also when an earlier sale holds it. Orders take
        from their float as they stand in the batch.

        Args:
            orders: in order of arrival, at most `ORDERS_PER_BATCH_MAX`.

        Raises:
            LedgerUnavailable: nothing was written.
            LedgerOutcomeUnknown: send the same orders again.
        """
        assert len(orders) <= ORDERS_PER_BATCH_MAX, "a batch is bounded"
        if not orders:
            return []

        def work(connection: Connection, attempt: int) -> list[ReserveResult]:
            rules = Rules(self.tariffs, self.policy)
            return _Batch(connection, orders, rules, is_first_attempt=attempt == 0).run()

        return transact(self.engine, work)


class _Batch:
    """One attempt at one batch."""

    def __init__(
        self, connection: Connection, orders: Sequence[SaleOrder], rules: Rules, *, is_first_attempt: bool
    ) -> None:
        self.connection = connection
        self.orders = orders
        self.rules = rules
        self.is_first_attempt = is_first_attempt
        self.results: dict[int, ReserveResult] = {}
        self.lines: list[journal.Line] = []
        self.sales: list[_Sale] = []
        self.available: dict[int, int] = {}
        self.taken: dict[int, int] = {}

    def run(self) -> list[ReserveResult]:
        first_with_key: dict[RequestKey, int] = {}
        for position, order in enumerate(self.orders):
            first_with_key.setdefault(order.key, position)
        numbers = {self.orders[position].meter_number for position in first_with_key.values()}
        # Three statements that do not need each other: who asks, the meters (locked), what is owed there.
        admitted, *found = together(
            self.connection,
            (_ADMIT, _admission_columns([self.orders[position] for position in first_with_key.values()])),
            *account_statements(numbers, for_update=True),
        )
        admissions = self._admit(first_with_key, admitted.rows)
        if admissions:
            self._decide(admissions, accounts_of(*found))
        self._write()
        return [self._result(position, first_with_key[order.key]) for position, order in enumerate(self.orders)]

    def _admit(self, first_with_key: dict[RequestKey, int], rows: Sequence[Any]) -> list[_Admission]:
        """Judge every key, terminal and acquirer; answer repeats, and those that may not sell."""
        positions = list(first_with_key.values())
        admissions = []
        for row in rows:
            position = positions[row.position - 1]
            order = self.orders[position]
            if row.digest is not None:
                again = journal.answer_to_repeat(
                    order.digest, known_digest=row.digest, code=row.code, sale_id=row.sale_id, answer=row.answer
                )
                assert again is not None, "the journal row of an order has a code or a sale"
                self.results[position] = again
                continue
            of_terminal = _refusal_of_terminal(row)
            refusal = of_terminal or order.refused
            if refusal is not None:
                left = None if of_terminal is not None else Centavos(row.available_centavos)
                self._decline(position, Refusal(refusal), left)
                continue
            self.available[row.float_account_id] = row.available_centavos
            admissions.append(
                _Admission(
                    position,
                    row.new_id,
                    row.float_account_id,
                    row.commission_account_id,
                    commission_of(
                        order.paid_centavos, row.share_basis_points, row.fixed_centavos, row.tax_basis_points
                    ),
                    row.settlement_date,
                )
            )
        admissions.sort()
        return admissions

    def _decide(self, admissions: list[_Admission], accounts: Accounts) -> None:
        """Reserve or decline each order, in order of arrival, against its meter, what is owed there, and its float."""
        meters, deductions = accounts
        numbers = {self.orders[admission.position].meter_number for admission in admissions}
        held = {
            meter.account.meter_id
            for number, meter in meters.items()
            if meter.held_by is not None and number in numbers
        }
        if held and self.is_first_attempt:
            # Who holds a meter may hold it for this very request, journaled while this batch waited for the meter's row.
            raise Retry("a meter is held")
        if not self.is_first_attempt:
            ids = arrays.ints(sorted(self.available))
            self.available = {
                row.id: row.available_centavos for row in self.connection.execute(_LOCK_FLOATS, {"ids": ids})
            }
        parked = self._parked(admissions, meters)
        targets = self._targets(admissions, meters)
        for admission in admissions:
            try:
                order = self.orders[admission.position]
                meter = check_meter(meters.get(order.meter_number), order)
                meter_id = meter.account.meter_id
                if meter_id in held:
                    self.results[admission.position] = Busy(meter_id=meter_id)
                    continue
                owed, waiting = deductions.get(meter_id, []), parked.get(meter_id, [])
                self._reserve(admission, meter, owed, waiting, targets.get(meter_id))
                held.add(meter_id)
            except Refusal as refusal:
                self._decline(admission.position, refusal, Centavos(self.available[admission.float_account_id]))

    def _parked(
        self, admissions: list[_Admission], meters: Mapping[str, MeterState]
    ) -> Mapping[int, Sequence[ParkedSale]]:
        """Read what waits on the meters of these orders; nearly always that is nothing, and nothing is asked."""
        waiting = {number: meter for number, meter in meters.items() if meter.parked_tokens}
        if not waiting:
            return {}
        orders = [self.orders[admission.position] for admission in admissions]
        numbers = {order.meter_number for order in orders if order.kind is OrderKind.RECHARGE} & waiting.keys()
        return read_parked(self.connection, [waiting[number].account.meter_id for number in numbers])

    def _targets(self, admissions: list[_Admission], meters: Mapping[str, MeterState]) -> Mapping[int, Target]:
        """Read which key meters of recharges are to have that are behind; nearly always none is, and nothing is asked."""
        behind = {number: meter for number, meter in meters.items() if meter.is_behind}
        if not behind or self.rules.policy.key_change is KeyChangePolicy.REFUSE:
            return {}
        orders = [self.orders[admission.position] for admission in admissions]
        numbers = {order.meter_number for order in orders if order.kind is OrderKind.RECHARGE} & behind.keys()
        return read_targets(self.connection, [behind[number].account.meter_id for number in numbers])

    def _reserve(
        self,
        admission: _Admission,
        meter: MeterState,
        deductions: list[Deduction],
        parked: Sequence[ParkedSale],
        target: Target | None,
    ) -> None:
        order = self.orders[admission.position]
        on = local_date(order.received_at)
        if meter.is_behind and target is None and order.kind is OrderKind.RECHARGE:
            raise Refusal(ResponseCode.KEY_CHANGE_DUE)
        claimed: tuple[ParkedSale, ...] = ()
        if parked:
            quote, claimed = price_with_parked(order, meter, deductions, on, self.rules, parked=parked)
        else:
            quote = price(order, meter, deductions, on, self.rules)
        left = self.available[admission.float_account_id] - order.paid_centavos
        if left < 0:
            raise Refusal(ResponseCode.FLOAT_SHORT)
        if quote is None:
            raise Refusal(ResponseCode.TARIFF_MISSING)
        change: KeyChange | None = None
        last_tid = meter.last_tid
        # Tokens that were parked open under the old key only, so a sale that hands some out leaves the change to the next one.
        if target is not None and quote.token_units_tenths and not claimed:
            meter, change = moved(meter, target)
        token_orders = _token_orders(quote, order, meter)
        if token_orders and not (change is not None and change.is_rollover):
            last_tid = token_orders[-1].tid
        sale = ReservedSale(
            sale_id=admission.sale_id,
            key=order.key,
            request=order.request,
            kind=order.kind,
            rrn=order.rrn,
            paid_centavos=order.paid_centavos,
            meter=meter.account,
            quote=quote,
            token_orders=token_orders,
            reserved_at=order.received_at,
            local_date=on,
            settlement_date=max(on, admission.settlement_date),
            claimed=claimed,
            key_change=change,
        )
        self.available[admission.float_account_id] = left
        taken = self.taken.get(admission.float_account_id, 0)
        self.taken[admission.float_account_id] = taken + order.paid_centavos
        self.sales.append(_Sale(sale, admission, last_tid))
        self.lines.append(_journal_line(order, None, admission.sale_id))
        self.results[admission.position] = Reserved(sale=sale)

    def _decline(self, position: int, refusal: Refusal, available: Centavos | None = None) -> None:
        self.lines.append(_journal_line(self.orders[position], refusal.code, None))
        self.results[position] = Declined(
            code=refusal.code, private_detail=refusal.private_detail, available_centavos=available
        )

    def _write(self) -> None:
        """Write everything in one round trip; the floats last, for they are everybody's."""
        if not self.lines:
            return
        statements: list[tuple[TextClause, Mapping[str, object]]] = [journal.write_statement(self.lines)]
        ids = sorted(self.taken)
        if self.sales:
            amounts = [self.taken[account_id] for account_id in ids]
            statements.append((_WRITE_SALES, _sale_columns(self.sales)))
            statements += bind_claims([sale.reserved for sale in self.sales])
            statements += write_statements([sale.reserved for sale in self.sales])
            statements.append((_TAKE_FLOATS, {"ids": arrays.ints(ids), "amounts": arrays.ints(amounts)}))
        journaled, *rest = together(self.connection, *statements)
        if journaled.rowcount != len(self.lines):
            raise Retry("a journal key was taken meanwhile")
        if rest and rest[-1].rowcount != len(ids):
            raise Retry("a float was sold meanwhile")
        if rest:
            self._tell_balances({row.id: row.available_centavos for row in rest[-1].rows})

    def _tell_balances(self, left: dict[int, int]) -> None:
        """Say for each sale what its float had left behind it: from what is left now, backwards. Nobody came in between."""
        for sale in reversed(self.sales):
            account_id = sale.admission.float_account_id
            told = replace(sale.reserved, available_centavos=Centavos(left[account_id]))
            self.results[sale.admission.position] = Reserved(sale=told)
            left[account_id] += told.paid_centavos

    def _result(self, position: int, first: int) -> ReserveResult:
        """Return the result of one order; one with the key of an earlier one in the batch is a repeat of it."""
        result = self.results[first]
        if position == first or isinstance(result, Busy):
            return result
        if self.orders[position].digest != self.orders[first].digest:
            return Conflict()
        return Unresolved(sale_id=result.sale.sale_id) if isinstance(result, Reserved) else result


def _refusal_of_terminal(row: Any) -> ResponseCode | None:
    if row.terminal_status is None:
        return ResponseCode.TERMINAL_UNKNOWN
    if row.terminal_status != "active":
        return ResponseCode.TERMINAL_BLOCKED
    return None if row.acquirer_status == "active" else ResponseCode.ACQUIRER_STOPPED


def _token_orders(quote: Quote, order: SaleOrder, meter: MeterState) -> tuple[TokenOrder, ...]:
    units = quote.token_units_tenths
    if not units:
        return ()
    try:
        tids = next_tids(order.received_at, meter.last_tid or None, meter.base_date, len(units))
    except FieldRangeError as error:
        raise Refusal(ResponseCode.SYSTEM_ERROR, str(error)) from error
    return tuple(TokenOrder(tid=tid, units_tenths=tenths) for tid, tenths in zip(tids, units, strict=True))


def _journal_line(order: SaleOrder, code: ResponseCode | None, sale_id: int | None) -> journal.Line:
    return journal.Line(order.key, order.digest, order.rrn, order.request, code, sale_id, None, order.received_at)


def _admission_columns(orders: Sequence[SaleOrder]) -> dict[str, str]:
    """Return the values of `_ADMIT`."""
    return {
        **journal.key_arrays([order.key for order in orders]),
        "days": arrays.times([local_date(order.received_at) for order in orders]),
        "paid": arrays.ints([order.paid_centavos for order in orders]),
    }


def _sale_columns(sales: Sequence[_Sale]) -> dict[str, str]:
    """Return the values of `_WRITE_SALES`."""
    reserved = [sale.reserved for sale in sales]
    meters = [sale.meter for sale in reserved]
    quotes = [sale.quote for sale in reserved]
    return {
        **journal.key_arrays([sale.key for sale in reserved]),
        "ids": arrays.ints([sale.sale_id for sale in reserved]),
        "kinds": arrays.texts([sale.kind.value for sale in reserved]),
        "rrns": arrays.texts([sale.rrn for sale in reserved]),
        "meters": arrays.ints([meter.meter_id for meter in meters]),
        "registers": arrays.ints([meter.register_id for meter in meters]),
        "indexes": arrays.ints([meter.tariff_index for meter in meters]),
        "algorithms": arrays.ints([meter.encryption_algorithm for meter in meters]),
        "dates": arrays.times([sale.local_date for sale in reserved]),
        "settlement_dates": arrays.times([sale.settlement_date for sale in reserved]),
        "reserved": arrays.times([sale.reserved_at for sale in reserved]),
        "paid": arrays.ints([sale.paid_centavos for sale in reserved]),
        "floats": arrays.ints([sale.admission.float_account_id for sale in sales]),
        "commission_accounts": arrays.ints([sale.admission.commission_account_id for sale in sales]),
        "commissions": arrays.ints([sale.admission.commission.centavos for sale in sales]),
        "commission_taxes": arrays.ints([sale.admission.commission.tax_centavos for sale in sales]),
        "carried_in": arrays.ints([quote.carried_in_centavos for quote in quotes]),
        "carried_out": arrays.ints([quote.carried_out_centavos for quote in quotes]),
        "units": arrays.ints([quote.units_tenths for quote in quotes]),
        "charged": arrays.ints([quote.charged_centavos for quote in quotes]),
        "full_costs": arrays.ints([quote.full_cost_centavos for quote in quotes]),
        "subsidies": arrays.ints([quote.subsidy_centavos for quote in quotes]),
        "contributions": arrays.ints([quote.contribution_centavos for quote in quotes]),
        "months": arrays.ints([quote.month_to_date_tenths for quote in quotes]),
        "lines": arrays.texts([lines_as_json(quote) for quote in quotes]),
        **_token_columns(sales),
    }


def _token_columns(sales: Sequence[_Sale]) -> dict[str, str]:
    tokens = [
        (sale.reserved.sale_id, position, sale.reserved.meter.meter_id, token.tid, token.units_tenths)
        for sale in sales
        for position, token in enumerate(sale.reserved.token_orders)
    ]
    return {
        "last_tids": arrays.ints([sale.last_tid for sale in sales]),
        "token_sales": arrays.ints([token[0] for token in tokens]),
        "token_positions": arrays.ints([token[1] for token in tokens]),
        "token_meters": arrays.ints([token[2] for token in tokens]),
        "tids": arrays.ints([token[3] for token in tokens]),
        "token_units": arrays.ints([token[4] for token in tokens]),
    }
