"""Writing notices to networks, in the transaction that does what they tell of. Which network gets which is its configuration.

A subject is told of once: what is written again changes nothing. Nothing here looks at a sale whose network gets no notices.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import Connection, Engine, text

from ledger import arrays, journal
from ledger.database import transact
from vending.notice import SettlementFacts, TellOutcome, facts_as_json
from vending.order import RequestKey
from vending.response_code import ResponseCode

_COLUMNS = "acquirer_code, kind, subject, facts, created_at, counted_from, due_at"

_SALE = """
    jsonb_build_object('sale', s.id, 'terminal', s.terminal_code, 'transmitted_at', s.transmitted_at, 'stan', s.stan,
        'message_class', s.message_class, 'sale_kind', s.kind, 'service', m.service, 'meter', m.meter_number,
        'paid', s.paid_centavos, 'rrn', s.rrn)
"""

_OUTCOMES = text(f"""
    INSERT INTO network_notice ({_COLUMNS})
    SELECT s.acquirer_code, 'outcome', 'sale ' || s.id, {_SALE} || jsonb_build_object('code', o.code), :at, :at, :at
    FROM unnest(CAST(:ids AS bigint[]), CAST(:codes AS text[])) AS o (id, code)
    JOIN sale AS s ON s.id = o.id JOIN meter AS m ON m.id = s.meter_id
    ORDER BY s.id ON CONFLICT DO NOTHING
""")  # noqa: S608 - constants only

_OUTCOMES_BY_KEY = text(f"""
    INSERT INTO network_notice ({_COLUMNS})
    SELECT s.acquirer_code, 'outcome', 'sale ' || s.id, {_SALE} || jsonb_build_object('code', j.code), :at, :at, :at
    FROM unnest({journal.KEY_ARRAYS}) AS o ({journal.KEY_COLUMNS}) JOIN {journal.row_of_key("sale_id, code")}
    JOIN sale AS s ON s.id = j.sale_id JOIN meter AS m ON m.id = s.meter_id
    WHERE s.state <> 'reserved' AND j.code IS NOT NULL
    ORDER BY s.id ON CONFLICT DO NOTHING
""")  # noqa: S608 - constants only

_SETTLEMENT = text(f"""
    INSERT INTO network_notice ({_COLUMNS})
    VALUES (:acquirer, 'settlement', :subject, CAST(:facts AS jsonb), :at, :at, :at) ON CONFLICT DO NOTHING
""")  # noqa: S608 - constants only

_ADJUSTMENT = text(f"""
    INSERT INTO network_notice ({_COLUMNS})
    SELECT s.acquirer_code, 'adjustment', 'adjustment ' || a.id, {_SALE} || jsonb_build_object('adjustment', a.id,
        'adjustment_kind', a.kind, 'amount', a.amount_centavos, 'units', a.units_tenths), :at, :at, :at
    FROM adjustment AS a JOIN sale AS s ON s.id = a.sale_id JOIN meter AS m ON m.id = s.meter_id
    WHERE a.id = :id AND s.acquirer_code = ANY (CAST(:networks AS text[])) ON CONFLICT DO NOTHING
""")  # noqa: S608 - constants only


def tell_outcomes(connection: Connection, outcomes: Sequence[tuple[int, ResponseCode]], at: datetime) -> None:
    """Write what became of sales that this transaction has just ended: their ids, and ``APPROVED`` or why they are void."""
    values = {
        "ids": arrays.ints([sale_id for sale_id, _ in outcomes]),
        "codes": arrays.texts([code.value for _, code in outcomes]),
        "at": at,
    }
    connection.execute(_OUTCOMES, values)


def tell_outcomes_by_key(connection: Connection, keys: Sequence[RequestKey], at: datetime) -> None:
    """Write what became of the sales that these requests made; requests that made none, or whose sale is still open, are left out."""
    connection.execute(_OUTCOMES_BY_KEY, {**journal.key_arrays(keys), "at": at})


def tell_outcome(engine: Engine, items: Sequence[TellOutcome]) -> list[None]:
    """As `tell_outcomes_by_key`, in a transaction of its own.

    Raises:
        LedgerUnavailable: nothing was written.
        LedgerOutcomeUnknown: it may stand there; writing it again is harmless.
    """
    at = max(item.at for item in items)
    transact(engine, lambda connection, _: tell_outcomes_by_key(connection, [item.key for item in items], at))
    return [None] * len(items)


def tell_settlement(connection: Connection, acquirer_id: str, facts: SettlementFacts, at: datetime) -> None:
    """Write that a day's file stands ready, in the transaction that says that it does."""
    subject = f"day {facts.day.isoformat()}"
    stored = json.dumps(facts_as_json(facts))
    connection.execute(_SETTLEMENT, {"acquirer": acquirer_id, "subject": subject, "facts": stored, "at": at})


def tell_adjustment(connection: Connection, adjustment_id: int, networks: Iterable[str], at: datetime) -> None:
    """Write that an adjustment was approved, if the sale it is about is of one of *networks*."""
    connection.execute(_ADJUSTMENT, {"id": adjustment_id, "networks": arrays.texts(sorted(networks)), "at": at})
