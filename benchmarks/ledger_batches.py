"""Reserve and post per second at several batch sizes, beside pgbench TPC-B on the same server in the same run.

Run ``python benchmarks/ledger_batches.py``; ``--meters`` sets the size of the town, ``--seconds`` how long each size is measured,
``--writers`` how many processes sell at once, ``--networks`` on how many floats their sales are spread: ``1,16`` compares one
hot network that takes every sale with many.
"""

import argparse
import json
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count
from multiprocessing import get_context
from pathlib import Path

from sqlalchemy import Engine, text

from ledger import opening
from ledger.check import check
from ledger.database import open_engine
from ledger.embedded import DATABASE, SUPERUSER, EmbeddedPostgres, program
from ledger.months import PARTITIONED, make_months
from ledger.post import post
from ledger.reserve import Reserver
from ledger.tariffs import load_tariffs
from ledger.upgrade import upgrade
from vending.money import BasisPoints, Centavos
from vending.order import OrderKind, RequestKey, Reserved, SaleOrder, SalePost
from vending.policy import SalePolicy
from vending.secret import Secret

TERMINALS = 500
START = datetime(2026, 8, 1, 12, tzinfo=UTC)
REQUEST = bytes(range(200))
ANSWER = bytes(600)
POLICY = SalePolicy(
    minimum_paid_centavos=Centavos(100_000),
    maximum_paid_centavos=Centavos(50_000_000),
    cap_basis_points=BasisPoints(4000),
)

SEED = (
    "INSERT INTO key_register (id, base_year) VALUES (1, 2014)",
    "INSERT INTO account_holder (account_number, name, address) SELECT n, 'María Pérez ' || n, 'Calle ' || n FROM generate_series(1, :meters) AS n",
    """INSERT INTO meter (meter_number, pan, holder_id, register_id, tariff_index, encryption_algorithm, service, user_class, stratum, altitude)
       SELECT lpad(id::text, 11, '0'), lpad(id::text, 18, '6'), id, 1, 1, 7, 0, 'residential', 1 + id % 3, 'low' FROM account_holder""",
    """INSERT INTO obligation (meter_id, code, kind, priority, due, capital_centavos, share_basis_points)
       SELECT id, 'mora', 'obligation', 30, '2026-03-31', 100000000000, 1000 FROM meter WHERE id % 3 = 0""",
    """INSERT INTO tariff_version (service, user_class, stratum, altitude, valid_from, publication, blocks)
       SELECT 0, 'residential', n, 'low', '2026-01-01', 'bench',
       '[{"up_to": 1730, "rate": 3600000, "full_rate": 9000000}, {"up_to": null, "rate": 9000000, "full_rate": 9000000}]'
       FROM generate_series(1, 3) AS n""",
    "INSERT INTO terminal (acquirer_id, code) SELECT acquirer.id, lpad(n::text, 8, '0') FROM acquirer, generate_series(1, :terminals) AS n",
)


def network_named(number: int) -> str:
    """Return the id of a network."""
    return f"red{number:03}"


def seed(engine: Engine, meters: int, networks: int = 1) -> None:
    """Fill an empty ledger with a town of *meters* and some networks that sell there."""
    upgrade(engine)
    with engine.begin() as connection:
        opening.open_chart(connection)
        for number in range(networks):
            name = network_named(number)
            opening.add_acquirer(
                connection,
                code=name,
                name=name,
                commission_basis_points=BasisPoints(200),
                commission_tax_basis_points=BasisPoints(1900),
            )
        for statement in SEED:
            connection.execute(text(statement), {"meters": meters, "terminals": TERMINALS})
        for number in range(networks):
            opening.deposit(connection, acquirer_code=network_named(number), amount_centavos=Centavos(10**15), at=START)
        opening.post_opening(connection, START)
        for table in PARTITIONED.values():
            make_months(connection, table, [START.date().replace(day=1)])
    opening.analyze(engine)


def orders(size: int, meters: int, first: int, step: int, networks: int = 1) -> Iterator[list[SaleOrder]]:
    """Give batches of orders for ever, spread on networks; several writers use different remainders of *step*."""
    for batch in count():
        numbers = [first + step * (batch * size + index) for index in range(size)]
        yield [
            SaleOrder(
                key=RequestKey(
                    acquirer_id=network_named(number // step % networks),
                    terminal_id=f"{1 + number % TERMINALS:08}",
                    transmitted_at=START + timedelta(seconds=number // TERMINALS),
                    stan=f"{number % 1_000_000:06}",
                    message_class="0200",
                ),
                digest=number.to_bytes(32, "big"),
                kind=OrderKind.RECHARGE,
                service=None,
                meter_number=f"{1 + number * 7919 % meters:011}",
                paid_centavos=Centavos(2_000_000),
                rrn=f"{number:012}",
                request=REQUEST,
                received_at=START + timedelta(seconds=number // TERMINALS),
            )
            for number in numbers
        ]


def sell(
    dsn: str, size: int, meters: int, seconds: float, first: int, step: int, networks: int
) -> tuple[int, float, float]:
    """Reserve and post batch after batch; return the sales, the seconds they took and the CPU seconds of this process."""
    engine = open_engine(dsn)
    reserver = Reserver(engine, load_tariffs(engine), POLICY)
    batches = orders(size, meters, first, step, networks)
    sales = 0
    cpu_seconds = 0.0
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        batch = next(batches)
        cpu_before = time.thread_time()
        reserved = [result.sale for result in reserver.reserve(batch) if isinstance(result, Reserved)]
        postings = [
            SalePost(
                sale=sale,
                tokens=[Secret(f"{sale.sale_id:018}{position:02}") for position in range(len(sale.token_orders))],
                answer=ANSWER,
            )
            for sale in reserved
        ]
        sales += len(post(engine, postings))
        cpu_seconds += time.thread_time() - cpu_before
    return sales, time.perf_counter() - started, cpu_seconds


def measure(
    dsn: str, *, size: int, meters: int, seconds: float, writers: int, first: int, networks: int
) -> dict[str, object]:
    """Sell with *writers* processes at once on the floats of so many networks."""
    with ProcessPoolExecutor(writers, mp_context=get_context("spawn")) as pool:
        # Imports are not measured.
        list(pool.map(len, [()] * writers))
        futures = [
            pool.submit(sell, dsn, size, meters, seconds, first + writer, writers, networks)
            for writer in range(writers)
        ]
        done = [future.result() for future in futures]
    sales = sum(each[0] for each in done)
    return {
        "batch": size,
        "writers": writers,
        "networks": networks,
        "sales_per_second": round(sum(each[0] / each[1] for each in done)),
        "cpu_us_per_sale": round(1e6 * sum(each[2] for each in done) / max(sales, 1), 1),
    }


def pgbench(server: EmbeddedPostgres, *, scale: int, clients: int, seconds: int) -> float:
    """Return the TPC-B transactions per second of this server."""
    where = ["-h", str(server.socket_directory), "-U", SUPERUSER]
    subprocess.run([program("createdb"), *where, "tpcb"], check=True)
    subprocess.run([program("pgbench"), *where, "-i", "-q", "-s", str(scale), "tpcb"], check=True, capture_output=True)
    ran = subprocess.run(
        [program("pgbench"), *where, "-n", "-c", str(clients), "-j", "4", "-T", str(seconds), "-M", "prepared", "tpcb"],
        check=True,
        capture_output=True,
        text=True,
    )
    # Its pages must not be written on the ledger's time.
    subprocess.run([program("dropdb"), *where, "tpcb"], check=True)
    subprocess.run([program("psql"), *where, "-qc", "CHECKPOINT", DATABASE], check=True)
    found = re.search(r"tps = ([0-9.]+)", ran.stdout)
    assert found is not None, ran.stdout
    return float(found[1])


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--meters", type=int, default=20_000)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--writers", default="1,2,3")
    parser.add_argument("--networks", default="1")
    parser.add_argument("--batches", default="1,16,64,256")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--scale", type=int, default=64)
    parser.add_argument("--no-pgbench", action="store_true")
    parser.add_argument("--no-check", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="eudora-bench-") as directory:
        server = EmbeddedPostgres(Path(directory) / "postgres")
        server.start()
        try:
            result: dict[str, object] = {"meters": options.meters}
            if not options.no_pgbench:
                tps = pgbench(server, scale=options.scale, clients=options.clients, seconds=options.seconds)
                result |= {"pgbench_tps": round(tps), "clients": options.clients}
            engine = open_engine(server.dsn)
            seed(engine, options.meters, max(map(int, options.networks.split(","))))
            firsts = count(0, 10_000_000)
            result["ledger"] = [
                measure(
                    server.dsn,
                    size=size,
                    meters=options.meters,
                    seconds=options.seconds,
                    writers=writers,
                    first=next(firsts),
                    networks=networks,
                )
                for size in map(int, options.batches.split(","))
                for writers in map(int, options.writers.split(","))
                for networks in map(int, options.networks.split(","))
            ]
            if not options.no_check:
                report = check(engine, None)
                result["agree"] = report.agree
                result["differences"] = list(report.differences)
            print(json.dumps(result, indent=1))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
