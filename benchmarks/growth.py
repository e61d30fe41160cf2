"""Does a sale take longer when there are many before it? Times inquiries, reservations and posts on ledgers of several sizes.

Run ``python -m benchmarks.growth``; ``--pasts`` names the pasts as SALES:MONTHS. A thousand real sales are made, then copied by set-based SQL
with other ids, times, meters and token identifiers until the past is as large as asked for. Every size is a database of its own and they
are asked in turns, so that whatever else the machine does falls on all of them. Balances are not copied, so the ledger's
own check would not agree afterwards; what is timed reads none of them.
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from statistics import median

from sqlalchemy import Connection, Engine, Table, create_engine, text

from benchmarks.ledger_batches import ANSWER, POLICY, START, TERMINALS, orders, seed
from ledger import schema
from ledger.database import open_engine
from ledger.embedded import EmbeddedPostgres
from ledger.inquire import inquire
from ledger.last_answer import find_last_answers
from ledger.months import PARTITIONED, make_months
from ledger.post import post
from ledger.reserve import Reserver
from ledger.tariffs import load_tariffs
from vending.money import Centavos
from vending.order import Inquiry, LastAnswerInquiry, Repeated, Reserved, ReservedSale, SaleOrder, SalePost
from vending.secret import Secret

PATTERN = 1_000
"""Real sales that are copied."""
ID_STEP = 100_000
"""Between the ids of one copy and the next; more than the ids of the pattern span."""
COPIES_PER_STATEMENT = 100
WARM_UP_ROUNDS = 10
"""Statements are prepared by then."""
MONTH = timedelta(days=31)

_SHIFTED_METER = "(meter_id - 1 + k * 613) % CAST(:meters AS bigint) + 1"
_LATER = "{0} + k * CAST(:apart AS interval)"
_MOVED = {
    "sale": {
        "id": "id + k * :step",
        "meter_id": _SHIFTED_METER,
        **{name: _LATER.format(name) for name in ("transmitted_at", "reserved_at", "ended_at")},
        "local_date": f"CAST({_LATER.format('local_date')} AS date)",
        "settlement_date": f"CAST({_LATER.format('settlement_date')} AS date)",
    },
    "token": {"sale_id": "sale_id + k * :step", "meter_id": _SHIFTED_METER, "tid": "tid + k * 7"},
    "entry": {
        "id": "id + k * :step",
        "sale_id": "sale_id + k * :step",
        "posted_at": _LATER.format("posted_at"),
        "local_date": f"CAST({_LATER.format('local_date')} AS date)",
    },
    "posting": {
        "entry_id": "entry_id + k * :step",
        "meter_id": _SHIFTED_METER,
        "posted_on": f"CAST({_LATER.format('posted_on')} AS date)",
    },
    "journal": {
        "sale_id": "sale_id + k * :step",
        **{name: _LATER.format(name) for name in ("transmitted_at", "received_at", "answered_at")},
    },
}
_PATTERN_OF = {
    "sale": "id <= :last",
    "token": "sale_id <= :last",
    "entry": "kind = 'sale' AND id <= :last",
    "posting": "entry_id IN (SELECT id FROM entry WHERE kind = 'sale' AND id <= :last)",
    "journal": "sale_id <= :last",
}


def copy(connection: Connection, first: int, stop: int, *, last: int, meters: int, apart: timedelta) -> None:
    """Add the copies numbered *first* to *stop* of every sale up to id *last*."""
    tables: list[Table] = [schema.sale, schema.token, schema.entry, schema.posting, schema.journal]
    for table in tables:
        moved = _MOVED[table.name]
        names = [column.name for column in table.columns]
        values = ", ".join(moved.get(name, name) for name in names)
        statement = (
            f"INSERT INTO {table.name} ({', '.join(names)}) SELECT {values} FROM {table.name},"
            f" generate_series(CAST(:first AS bigint), CAST(:stop AS bigint) - 1) AS k WHERE {_PATTERN_OF[table.name]}"
        )
        parameters: dict[str, object] = {"first": first, "stop": stop, "last": last, "step": ID_STEP, "meters": meters}
        parameters["apart"] = apart
        connection.execute(
            text(statement), {name: value for name, value in parameters.items() if f":{name}" in statement}
        )


def sell(engine: Engine, reserver: Reserver, batch: list[SaleOrder]) -> tuple[float, float, int]:
    """Reserve and post a batch; return the seconds of each, and how many were sold."""
    started = time.perf_counter()
    reserved: list[ReservedSale] = [r.sale for r in reserver.reserve(batch) if isinstance(r, Reserved)]
    middle = time.perf_counter()
    postings = [
        SalePost(
            sale=sale,
            tokens=[Secret(f"{sale.sale_id:018}{position:02}") for position in range(len(sale.token_orders))],
            answer=ANSWER,
        )
        for sale in reserved
    ]
    post(engine, postings)
    return middle - started, time.perf_counter() - middle, len(reserved)


def grow(engine: Engine, past: int, wanted: int, *, last: int, meters: int, months: int) -> int:
    """Copy until the past has *wanted* sales, evenly over *months* whose tables are made first; return how many there are."""
    first, stop = past // PATTERN, max(wanted // PATTERN, past // PATTERN)
    apart = months * MONTH // stop
    with engine.begin() as connection:
        for table in PARTITIONED.values():
            make_months(connection, table, {(START + n * MONTH).date().replace(day=1) for n in range(months + 2)})
    for begin in range(first, stop, COPIES_PER_STATEMENT):
        with engine.begin() as connection:
            end = min(begin + COPIES_PER_STATEMENT, stop)
            copy(connection, begin, end, last=last, meters=meters, apart=apart)
    with engine.begin() as connection:
        connection.execute(text("SELECT setval('ledger_id', (SELECT max(id) FROM sale))"))
        # Identifiers of copied tokens may lie ahead of their meters' own.
        connection.execute(
            text(
                "UPDATE meter SET last_tid = t.tid FROM (SELECT meter_id, max(tid) AS tid FROM token GROUP BY meter_id) AS t"
                " WHERE t.meter_id = meter.id AND t.tid > last_tid"
            )
        )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM (ANALYZE)"))
        connection.execute(text("CHECKPOINT"))
    return stop * PATTERN


class Ledger:
    """A ledger with a past of one size, and the times of what was asked of it."""

    def __init__(self, dsn: str, *, past: int, months: int, meters: int) -> None:
        self.engine = open_engine(dsn)
        seed(self.engine, meters)
        self._tariffs = load_tariffs(self.engine)
        self._reserver = Reserver(self.engine, self._tariffs, POLICY)
        _, _, sold = sell(self.engine, self._reserver, next(orders(PATTERN, meters, 0, 1)))
        assert sold == PATTERN, sold
        with self.engine.connect() as connection:
            last = connection.execute(text("SELECT max(id) FROM sale")).scalar_one()
        assert last < ID_STEP
        # Without the limits of time that a ledger's own statements have.
        copier = create_engine(dsn)
        self.past = grow(copier, PATTERN, past, last=last, meters=meters, months=months)
        self.months = months
        # The sales that are timed come after all copies, in the last month that has a table.
        self.after = months * MONTH
        copier.dispose()
        self.seconds: dict[tuple[int, str], list[float]] = {}

    def ask(self, batch: list[SaleOrder], *, is_timed: bool) -> None:
        """Inquire about, reserve and post one batch."""
        batch = [_later(order, self.after) for order in batch]
        inquiries = [
            Inquiry(
                acquirer_id=order.key.acquirer_id,
                terminal_id=order.key.terminal_id,
                meter_number=order.meter_number,
                service=None,
                trial_paid_centavos=Centavos(2_000_000),
                asked_at=order.received_at,
            )
            for order in batch
        ]
        started = time.perf_counter()
        inquire(self.engine, self._tariffs, POLICY, inquiries)
        inquiring = time.perf_counter() - started
        reserving, posting, sold = sell(self.engine, self._reserver, batch)
        assert sold == len(batch), f"{sold} of {len(batch)} were sold"
        if is_timed:
            taken = {"inquire": inquiring, "reserve": reserving, "post": posting, **self._ask_again(batch)}
            for step, took in taken.items():
                self.seconds.setdefault((len(batch), step), []).append(took)

    def _ask_again(self, batch: list[SaleOrder]) -> dict[str, float]:
        """Repeat the requests of a batch, and ask for the last answers of their terminals; return the seconds of each."""
        started = time.perf_counter()
        repeated = self._reserver.reserve(batch)
        middle = time.perf_counter()
        assert all(isinstance(each, Repeated) for each in repeated)
        inquiries = [
            LastAnswerInquiry(
                acquirer_id=order.key.acquirer_id,
                terminal_id=order.key.terminal_id,
                original=None,
                asked_at=order.received_at,
            )
            for order in batch
        ]
        find_last_answers(self.engine, inquiries)
        return {"repeat": middle - started, "last_answer": time.perf_counter() - middle}

    def result(self) -> dict[str, object]:
        """Return the medians in milliseconds."""
        medians = {
            f"{step}_{size}_p50_ms": round(1000 * median(took), 2) for (size, step), took in self.seconds.items()
        }
        return {"past_sales": self.past, "past_months": self.months, **medians}


def _later(order: SaleOrder, after: timedelta) -> SaleOrder:
    key = replace(order.key, transmitted_at=order.key.transmitted_at + after)
    return replace(order, key=key, received_at=order.received_at + after)


def main() -> None:
    """Grow, measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--pasts", default="1000:1,1000000:1,1000000:36", help="SALES:MONTHS of each past, sales in thousands"
    )
    parser.add_argument("--meters", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--batches", default="1,64")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="eudora-bench-") as directory:
        server = EmbeddedPostgres(Path(directory) / "postgres")
        server.start()
        try:
            ledgers = []
            for each in options.pasts.split(","):
                past, months = map(int, each.split(":"))
                name = f"past_{past}_{months}"
                with create_engine(server.dsn, isolation_level="AUTOCOMMIT").connect() as connection:
                    connection.execute(text(f"CREATE DATABASE {name}"))
                ledgers.append(Ledger(server.dsn_of(name), past=past, months=months, meters=options.meters))
            for size in map(int, options.batches.split(",")):
                batches = orders(size, options.meters, 10_000_000 * (1 + size), 1)
                for turn in range(options.rounds + WARM_UP_ROUNDS):
                    batch = next(batches)
                    for ledger in ledgers:
                        ledger.ask(batch, is_timed=turn >= WARM_UP_ROUNDS)
            growth = [ledger.result() for ledger in ledgers]
            print(json.dumps({"terminals": TERMINALS, "meters": options.meters, "growth": growth}, indent=1))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
