"""``eudora bench security-module``: what one module does per second on one core, over TLS, with its audit durable."""

import json
import os
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import click

from messages.security_module import (
    FrameReader,
    GenerateMac,
    MacKey,
    MintRequest,
    Refused,
    Request,
    Status,
    VerifyMac,
    decode_reply,
    encode_request,
)
from security_module.ceremony import init
from security_module.layout import Layout
from sts.codes import BaseDate
from sts.pan import luhn_digit, pan_of_meter
from sts.tid import tid_at
from vending.money import Centavos, Tenths

PIPELINE = 256
"""Requests under way: what a busy switch has."""
METERS = 20_000
MESSAGE_OCTETS = 120
"""A recharge request of the terminals' dialect without its MAC."""
ANSWER_OCTETS = 330
"""Its answer, with one token and the lines of its ticket."""
READ_OCTETS = 1 << 17


@contextmanager
def running_module(directory: Path) -> Iterator[tuple[int, int]]:
    """Run a fresh module; gives its port and process id."""
    run_file = directory / "run.json"
    init(directory / "module", seed_test_keys=True, now=datetime.now(UTC))  # noqa: TID251
    arguments = ["--directory", str(directory / "module"), "--listen", "127.0.0.1:0", "--run-file", str(run_file)]
    child = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "cli.main", "security-module", "run", *arguments], stdout=subprocess.DEVNULL
    )
    try:
        while not run_file.exists():
            assert child.poll() is None, "the module did not start"
            time.sleep(0.02)
        yield json.loads(run_file.read_text())["port"], child.pid
    finally:
        child.terminate()
        child.wait()


@contextmanager
def switch_link(directory: Path, port: int) -> Iterator[ssl.SSLSocket]:
    """Connect to the module in *directory* as a switch."""
    layout = Layout(directory / "module")
    context = ssl.create_default_context(cafile=str(layout.authority))
    context.load_cert_chain(str(layout.client("switch")))
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as link,
    ):
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield link


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def drive(link: ssl.SSLSocket, requests: Iterator[Request], seconds: float, window: int) -> tuple[int, float]:
    """Keep *window* requests under way for *seconds*; return how many were answered, and the time."""
    reader = FrameReader()
    ids = count(1)
    started = time.perf_counter()
    end = started + seconds
    link.sendall(b"".join([encode_request(next(ids), next(requests)) for _ in range(window)]))
    under_way, done = window, 0
    while under_way:
        answered = 0
        for body in reader.receive(link.recv(READ_OCTETS)):
            _, reply = decode_reply(body)
            assert not isinstance(reply, Refused) or reply.status is Status.MAC_MISMATCH, reply
            answered += 1
        done += answered
        under_way -= answered
        if answered and time.perf_counter() < end:
            link.sendall(b"".join([encode_request(next(ids), next(requests)) for _ in range(answered)]))
            under_way += answered
    return done, time.perf_counter() - started


def mints(algorithm: int, tokens: int = 1) -> Iterator[Request]:
    """Endless mint requests with new ids, over many meters; each meter is met for the first time once in this run."""
    tid = tid_at(datetime.now(UTC), BaseDate.Y2014)  # noqa: TID251
    orders = tuple((tid + index, Tenths(438)) for index in range(tokens))
    pans = [pan_of_meter(f"{body}{luhn_digit(body)}") for body in (f"{each:010d}" for each in range(METERS))]
    ids = count(time.time_ns())
    while True:
        for pan in pans:
            yield MintRequest(
                request_id=next(ids),
                register_id=1,
                pan=pan,
                tariff_index=1,
                encryption_algorithm=algorithm,
                subclass=0,
                tokens=orders,
                charged_centavos=Centavos(2_000_000),
            )


def macs(register_id: int, scheme: str) -> Iterator[Request]:
    """Endless verifications (of a wrong MAC: the same work as of a right one) for a hundred terminals."""
    data = bytes(range(MESSAGE_OCTETS))
    keys = [MacKey(register_id=register_id, scheme=scheme, diversifier=f"T{each:07d}") for each in range(100)]
    while True:
        for key in keys:
            yield VerifyMac(key=key, mac=bytes(8), data=data)


def sell(
    link: ssl.SSLSocket, verifications: Iterator[Request], orders: Iterator[Request], seconds: float, burst: int
) -> int:
    """Sell in bursts of *burst* for *seconds*, each step of all of them before the next; return how many."""
    data = bytes(ANSWER_OCTETS)
    started = time.perf_counter()
    done = 0
    while time.perf_counter() < started + seconds:
        asked = [next(verifications) for _ in range(burst)]
        answers = [GenerateMac(key=each.key, data=data) for each in asked if isinstance(each, VerifyMac)]
        for step in (asked, [next(orders) for _ in range(burst)], answers):
            drive(link, iter(step), 0.0, burst)
        done += burst
    return done


def measure(directory: Path, seconds: float, repeats: int) -> dict[str, float]:
    """Measure a fresh module in *directory*.

    Returns:
        Medians. ``_per_second`` is what came back on the clock of the wall, ``_module_cpu_us`` the module's processor time for
        each, all its threads together, ``_per_core_second`` how many that makes of one whole core.
    """
    loads: dict[str, tuple[Callable[[], Iterator[Request]], int]] = {
        "tokens_ea11": (lambda: mints(11), 1),
        "tokens_ea07": (lambda: mints(7), 1),
        "tokens_ea11_in_sales_of_four": (lambda: mints(11, 4), 4),
        "macs_x9_19": (lambda: macs(10, "X9.19"), 1),
        "macs_aes_cmac": (lambda: macs(11, "AES-CMAC"), 1),
    }
    report: dict[str, float] = {}
    with running_module(directory) as (port, pid), switch_link(directory, port) as link:
        for name, (load, weight) in loads.items():
            for label, window in (("one_by_one", 1), ("in_batches", PIPELINE)):
                requests = load()
                rates, costs = [], []
                for _ in range(repeats):
                    before = cpu_seconds(pid)
                    done, took = drive(link, requests, seconds, window)
                    rates.append(done * weight / took)
                    costs.append((cpu_seconds(pid) - before) / (done * weight))
                cost = statistics.median(costs)
                report[f"{name}_{label}_per_second"] = round(statistics.median(rates))
                report[f"{name}_{label}_module_cpu_us"] = round(cost * 1e6, 1)
                report[f"{name}_{label}_per_core_second"] = round(1 / cost) if cost else 0
    return report


@click.command("security-module")
@click.option("--seconds", type=click.FloatRange(0.1, 60), default=2.0, show_default=True, help="Of each measurement.")
@click.option("--repeats", type=click.IntRange(1, 99), default=3, show_default=True, help="The median is told.")
@click.option(
    "--directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Where the module writes meanwhile; default: the directory for temporary files. Choose a real disk.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def bench_module_command(*, seconds: float, repeats: int, directory: Path | None, as_json: bool) -> None:
    """Mint and make MACs as fast as one security module can, over TLS, one by one and in batches.

    Every mint is durable, chained and counted before its tokens are answered.
    """
    with tempfile.TemporaryDirectory(dir=directory, prefix="eudora-bench-module-") as scratch:
        report = measure(Path(scratch), seconds, repeats)
    click.echo(json.dumps(report) if as_json else "\n".join(f"{name:58} {value:>12}" for name, value in report.items()))
