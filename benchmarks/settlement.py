"""Seconds that a settlement day of many sales takes: closing it, writing its file, comparing the network's file with it.

Run ``python -m benchmarks.settlement``; ``--lines`` is how many sales the day has. They are copies of one real sale with other ids.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine, text

from benchmarks.ledger_batches import ANSWER, POLICY, network_named, orders, seed
from ledger.database import allow_scans, open_engine
from ledger.day_close import close_days
from ledger.embedded import EmbeddedPostgres
from ledger.post import post
from ledger.reconcile import TheirFile, compare_file
from ledger.reserve import Reserver
from ledger.settlement_file import write_settlement_file
from ledger.tariffs import load_tariffs
from messages.partner_csv import ColumnMapping
from vending.order import Reserved, SalePost
from vending.secret import Secret
from vending.settlement import CloseDays

NOW = datetime(2026, 8, 3, 12, tzinfo=UTC)
MAPPING = ColumnMapping(columns={"terminal": "t", "stan": "s", "rrn": "r", "amount": "a"}, decimal="", thousands="")


def fill(engine: Engine, lines: int) -> None:
    """Sell once and copy the sale."""
    (order,) = next(orders(1, 10, 0, 1))
    (reserved,) = Reserver(engine, load_tariffs(engine), POLICY).reserve([order])
    assert isinstance(reserved, Reserved)
    digits = [Secret(f"{position:020}") for position in range(len(reserved.sale.token_orders))]
    post(engine, [SalePost(sale=reserved.sale, tokens=digits, answer=ANSWER)])
    with engine.begin() as connection:
        allow_scans(connection)
        columns = list(
            connection.scalars(
                text("SELECT attname FROM pg_attribute WHERE attrelid = 'sale'::regclass AND attnum > 0")
            )
        )
        changed = {
            "id": "1000 + n",
            "stan": "lpad((n % 1000000)::text, 6, '0')",
            "rrn": "lpad(n::text, 12, '0')",
            "terminal_code": "lpad((n % 5000)::text, 8, '0')",
        }
        values = ", ".join(changed.get(name, f"s.{name}") for name in columns)
        connection.execute(
            text(
                f"INSERT INTO sale ({', '.join(columns)}) SELECT {values} FROM sale AS s, generate_series(2, :lines) AS n"
            ),
            {"lines": lines},
        )
        connection.execute(text("ANALYZE sale"))


def partner_csv(ours: Path, theirs: Path) -> None:
    """Write what a network would send that keeps no receipts: every thousandth sale is missing."""
    with ours.open() as lines, theirs.open("w") as out:
        out.write("t,s,r,a\n")
        for number, line in enumerate(lines):
            cells = line.split(",")
            if cells[0] == "S" and number % 1000:
                out.write(f"{cells[4]},{cells[2]},{cells[3]},{cells[6]}\n")


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    options = parser.parse_args()
    seconds: dict[str, float] = {}

    def timed(name: str, work: Callable[[], object]) -> object:
        started = time.perf_counter()
        found = work()
        seconds[name] = round(time.perf_counter() - started, 1)
        return found

    with tempfile.TemporaryDirectory(prefix="eudora-bench-") as directory:
        server = EmbeddedPostgres(Path(directory) / "postgres")
        server.start()
        try:
            engine = open_engine(server.dsn)
            seed(engine, 100)
            fill(engine, options.lines)
            at, day, network = NOW, (NOW - timedelta(days=2)).date(), network_named(0)
            files = Path(tempfile.mkdtemp(prefix="files-", dir=directory))
            timed("close", lambda: close_days(engine, CloseDays(at=at)))
            timed("write", lambda: write_settlement_file(engine, network, day, files, at))
            (ours,) = files.iterdir()
            theirs = files / "theirs.csv"
            partner_csv(ours, theirs)
            equal = timed("compare_equal", lambda: compare_file(engine, TheirFile(path=ours), user="bench", at=at))
            own = TheirFile(path=theirs, mapping=MAPPING, acquirer_id=network, day=day)
            differs = timed("compare_own_csv", lambda: compare_file(engine, own, user="bench", at=at))
            size = ours.stat().st_size
            print(
                json.dumps(
                    {"lines": options.lines, "octets": size, "seconds": seconds, "runs": [str(equal), str(differs)]},
                    indent=1,
                )
            )
            engine.dispose()
        finally:
            server.stop()


if __name__ == "__main__":
    main()
