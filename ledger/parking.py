"""Parking: a reversed sale's money goes back to its network, and its tokens wait on the meter for whoever pays for them.

Whether a sale may be parked is decided while its terminal (whose cap it uses), its meter and the sale itself are locked, in this order
and each in ascending order, and written in the transaction that journals the reversal. A reversal that is repeated afterwards finds it parked.

A token that a customer may hold is never parked: not when the terminal confirmed it, not when it was shown again, not when an earlier
reversal was answered with it, and not when somebody proposed to make it good by an adjustment. Once a sale is parked its stored answer
is nobody's any more: a repeat of the sale is refused as a conflict, in the same transaction that gives the money back.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from ledger import arrays
from ledger.journal import KEY_COLUMNS, KEY_REACH, REVERSED_AND_PARKED
from ledger.rounds import together
from ledger.rules import PostingLine, parking_lines
from vending.calendar import local_date
from vending.commission import Commission
from vending.order import OrderKind, RequestKey, ReservedSale, ReversalOrder
from vending.parked import Parking, judge_parking

_LOCK_TERMINALS = text("""
    SELECT a.code AS acquirer_code, t.code AS terminal_code, a.settlement_date FROM terminal AS t
    JOIN acquirer AS a ON a.id = t.acquirer_id
    JOIN unnest(CAST(:acquirers AS text[]), CAST(:terminals AS text[])) AS o (acquirer_code, terminal_code)
        ON o.acquirer_code = a.code AND o.terminal_code = t.code
    ORDER BY t.id FOR NO KEY UPDATE OF t
""")

_LOCK_METERS = text("SELECT id FROM meter WHERE id = ANY (CAST(:meters AS bigint[])) ORDER BY id FOR NO KEY UPDATE")

# Whoever shows a sale's digits again holds its row meanwhile.
_LOCK_SALES = text("SELECT id FROM sale WHERE id = ANY (CAST(:ids AS bigint[])) ORDER BY id FOR NO KEY UPDATE")

_READ_SALES = text("""
    SELECT s.id, s.float_account_id, s.commission_account_id, s.commission_centavos, s.commission_tax_centavos,
        EXISTS (SELECT FROM parked_token AS p WHERE p.sale_id = s.id) AS is_parked,
        EXISTS (SELECT FROM confirmation AS c WHERE c.sale_id = s.id)
        OR EXISTS (SELECT FROM reprint AS r WHERE r.sale_id = s.id)
        OR EXISTS (SELECT FROM adjustment AS a WHERE a.sale_id = s.id AND a.state <> 'rejected') AS is_with_customer
    FROM unnest(CAST(:ids AS bigint[])) AS wanted (id) JOIN sale AS s ON s.id = wanted.id
""")

_READ_REVERSALS = text(f"""
    SELECT j.reverses_sale_id, {", ".join(f"j.{name}" for name in KEY_COLUMNS.split(", "))}
    FROM unnest(CAST(:ids AS bigint[])) AS wanted (id) JOIN journal AS j ON j.reverses_sale_id = wanted.id
        AND j.transmitted_at BETWEEN CAST(:sent_first AS timestamptz) AND CAST(:sent_last AS timestamptz)
""")  # noqa: S608 - constants only

_READ_DAYS = text("""
    SELECT o.acquirer_code, o.terminal_code, o.day, p.total
    FROM unnest(CAST(:acquirers AS text[]), CAST(:terminals AS text[]), CAST(:days AS date[])) AS o (acquirer_code, terminal_code, day)
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(each.paid_centavos), 0)::bigint AS total FROM parked_token AS each
        WHERE each.terminal_code = o.terminal_code AND each.local_date = o.day AND each.acquirer_code = o.acquirer_code
    ) AS p
""")

_WRITE = text("""
    WITH o AS (
        SELECT * FROM unnest(CAST(:sales AS bigint[]), CAST(:meters AS bigint[]), CAST(:acquirers AS text[]), CAST(:terminals AS text[]),
            CAST(:paid AS bigint[]), CAST(:days AS date[]), CAST(:settlement_days AS date[]))
            AS o (sale_id, meter_id, acquirer_code, terminal_code, paid, day, settlement_day)
    ), kept AS (
        INSERT INTO parked_token (sale_id, meter_id, acquirer_code, terminal_code, paid_centavos, parked_at, local_date, settlement_date)
        SELECT sale_id, meter_id, acquirer_code, terminal_code, paid, now(), day, settlement_day FROM o
    ), counted AS (
        UPDATE meter SET parked_tokens = parked_tokens + c.times
        FROM (SELECT meter_id, count(*) AS times FROM o GROUP BY meter_id) AS c WHERE meter.id = c.meter_id
    ), entries AS (
        INSERT INTO entry (id, kind, sale_id, posted_at, local_date)
        SELECT nextval('ledger_id'), 'parking', sale_id, now(), day FROM o
        RETURNING id, sale_id, local_date
    )
    INSERT INTO posting (entry_id, line, posted_on, account_id, amount_centavos)
    SELECT e.id, l.line, e.local_date, l.account_id, l.amount FROM entries AS e
    JOIN unnest(CAST(:line_sales AS bigint[]), CAST(:line_numbers AS smallint[]), CAST(:line_accounts AS bigint[]),
        CAST(:line_amounts AS bigint[])) AS l (sale_id, line, account_id, amount) ON l.sale_id = e.sale_id
""")

_BAR = text(f"""
    UPDATE journal SET digest = CAST(:mark AS bytea) WHERE ({KEY_COLUMNS}) = (
        CAST(:transmitted_at AS timestamptz), CAST(:stan AS text), CAST(:terminal AS text), CAST(:acquirer AS text), CAST(:message_class AS text)
    )
""")  # noqa: S608 - constants only
"""One by one: an UPDATE of several may be planned as one look at all that lies between their times."""

_MOVE_ACCOUNTS = text("""
    UPDATE account SET balance_centavos = balance_centavos + o.amount
    FROM unnest(CAST(:ids AS bigint[]), CAST(:amounts AS bigint[])) AS o (id, amount) WHERE account.id = o.id
""")


class Wish(NamedTuple):
    """A reversal and the posted sale that it names."""

    order: ReversalOrder
    sale: ReservedSale


class _Kept(NamedTuple):
    """A sale that is parked now."""

    sale: ReservedSale
    day: date
    settlement_day: date
    lines: list[PostingLine]


@dataclass
class ParkingBatch:
    """The wishes of one batch: decide them all, then write."""

    connection: Connection
    kept: list[_Kept] = field(default_factory=list)

    def decide(self, wishes: Sequence[Wish]) -> list[Parking]:
        """Lock what the wishes need and say what becomes of each, in order; nothing is written yet."""
        if not wishes:
            return []
        settlement_dates = self._lock(wishes)
        ids = {"ids": arrays.ints(sorted({wish.sale.sale_id for wish in wishes}))}
        days = sorted({_day_of(wish) for wish in wishes})
        sales, reversals, parked_days = together(
            self.connection,
            (_READ_SALES, ids),
            (_READ_REVERSALS, {**ids, **_sent(wishes)}),
            (
                _READ_DAYS,
                {
                    "acquirers": arrays.texts([day[0] for day in days]),
                    "terminals": arrays.texts([day[1] for day in days]),
                    "days": arrays.times([day[2] for day in days]),
                },
            ),
        )
        rows = {row.id: row for row in sales.rows}
        asked: dict[int, set[RequestKey]] = {}
        for row in reversals.rows:
            asked.setdefault(row.reverses_sale_id, set()).add(_key_of(row))
        parked_today = {(row.acquirer_code, row.terminal_code, row.day): row.total for row in parked_days.rows}
        outcomes: dict[int, Parking] = {}
        results = []
        for wish in wishes:
            sale_id = wish.sale.sale_id
            if outcomes.get(sale_id) in (None, Parking.PARKED):
                is_first = sale_id not in outcomes
                others = asked.get(sale_id, set()) - {wish.order.key}
                outcome = (
                    self._judge(wish, rows[sale_id], parked_today, has_others=bool(others))
                    if is_first
                    else Parking.PARKED_BEFORE
                )
                if outcome is Parking.PARKED:
                    self._keep(wish, rows[sale_id], settlement_dates)
                outcomes[sale_id] = outcome
            results.append(outcomes[sale_id])
        return results

    def write(self) -> None:
        """Write what was decided, the accounts last, because they are everybody's."""
        if not self.kept:
            return
        amounts: dict[int, int] = {}
        for kept in self.kept:
            for line in kept.lines:
                amounts[line.account_id] = amounts.get(line.account_id, 0) + line.amount_centavos
        ids = sorted(amounts)
        *_, moved = together(
            self.connection,
            (_WRITE, _columns(self.kept)),
            *((_BAR, _row_of(kept.sale.key)) for kept in self.kept),
            (_MOVE_ACCOUNTS, {"ids": arrays.ints(ids), "amounts": arrays.ints([amounts[each] for each in ids])}),
        )
        assert moved.rowcount == len(ids), "every account of a parking exists"

    def _lock(self, wishes: Sequence[Wish]) -> dict[tuple[str, str], date]:
        """Lock terminals, then meters, then the sales; return the settlement date of each terminal's acquirer."""
        terminals = sorted({(wish.sale.key.acquirer_id, wish.sale.key.terminal_id) for wish in wishes})
        locked, *_ = together(
            self.connection,
            (
                _LOCK_TERMINALS,
                {
                    "acquirers": arrays.texts([each[0] for each in terminals]),
                    "terminals": arrays.texts([each[1] for each in terminals]),
                },
            ),
            (_LOCK_METERS, {"meters": arrays.ints(sorted({wish.sale.meter.meter_id for wish in wishes}))}),
            (_LOCK_SALES, {"ids": arrays.ints(sorted({wish.sale.sale_id for wish in wishes}))}),
        )
        return {(row.acquirer_code, row.terminal_code): row.settlement_date for row in locked.rows}

    @staticmethod
    def _judge(wish: Wish, row: Any, parked_today: dict[tuple[str, str, date], int], *, has_others: bool) -> Parking:
        if row.is_parked:
            return Parking.PARKED_BEFORE
        sale = wish.sale
        has_own_tokens = sale.kind is OrderKind.RECHARGE and len(sale.token_orders) > 0 and not sale.claimed
        # The books say since this sale that the meter has the new key; parked, nobody would be given the tokens that change it.
        has_own_tokens = has_own_tokens and sale.key_change is None
        if not has_own_tokens or row.is_with_customer or has_others:
            return Parking.NOT_PARKABLE
        assert wish.order.parking is not None, "only wished for under the policy"
        outcome = judge_parking(sale.paid_centavos, parked_today[_day_of(wish)], wish.order.parking)
        if outcome is Parking.PARKED:
            parked_today[_day_of(wish)] += sale.paid_centavos
        return outcome

    def _keep(self, wish: Wish, row: Any, settlement_dates: dict[tuple[str, str], date]) -> None:
        key = wish.sale.key
        day = local_date(wish.order.received_at)
        lines = parking_lines(
            paid_centavos=wish.sale.paid_centavos,
            float_account_id=row.float_account_id,
            commission_account_id=row.commission_account_id,
            commission=Commission(row.commission_centavos, row.commission_tax_centavos),
        )
        settlement_day = max(day, settlement_dates[key.acquirer_id, key.terminal_id])
        self.kept.append(_Kept(wish.sale, day, settlement_day, lines))


def _sent(wishes: Sequence[Wish]) -> dict[str, str]:
    """Between which transmission times earlier reversals of these sales lie: the year of a key is the one nearest to our clock."""
    first = min(wish.sale.reserved_at for wish in wishes) - KEY_REACH
    last = max(wish.order.received_at for wish in wishes) + KEY_REACH
    return {"sent_first": first.isoformat(), "sent_last": last.isoformat()}


def _day_of(wish: Wish) -> tuple[str, str, date]:
    key = wish.sale.key
    return key.acquirer_id, key.terminal_id, local_date(wish.order.received_at)


def _key_of(row: Any) -> RequestKey:
    return RequestKey(
        acquirer_id=row.acquirer_code,
        terminal_id=row.terminal_code,
        transmitted_at=row.transmitted_at,
        stan=row.stan,
        message_class=row.message_class,
    )


def _row_of(key: RequestKey) -> dict[str, object]:
    return {
        "mark": REVERSED_AND_PARKED,
        "transmitted_at": key.transmitted_at.isoformat(),
        "stan": key.stan,
        "terminal": key.terminal_id,
        "acquirer": key.acquirer_id,
        "message_class": key.message_class,
    }


def _columns(kept: Sequence[_Kept]) -> dict[str, object]:
    sales = [each.sale for each in kept]
    lines = [(each.sale.sale_id, number, line) for each in kept for number, line in enumerate(each.lines, 1)]
    return {
        "sales": arrays.ints([sale.sale_id for sale in sales]),
        "meters": arrays.ints([sale.meter.meter_id for sale in sales]),
        "acquirers": arrays.texts([sale.key.acquirer_id for sale in sales]),
        "terminals": arrays.texts([sale.key.terminal_id for sale in sales]),
        "paid": arrays.ints([sale.paid_centavos for sale in sales]),
        "days": arrays.times([each.day for each in kept]),
        "settlement_days": arrays.times([each.settlement_day for each in kept]),
        "line_sales": arrays.ints([line[0] for line in lines]),
        "line_numbers": arrays.ints([line[1] for line in lines]),
        "line_accounts": arrays.ints([line[2].account_id for line in lines]),
        "line_amounts": arrays.ints([line[2].amount_centavos for line in lines]),
    }
