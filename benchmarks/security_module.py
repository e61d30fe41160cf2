"""What one security module does per second on one core, over real TLS: mints (durable) and MACs, one by one and pipelined.

    .venv/bin/python -m benchmarks.security_module [--seconds 2] [--repeats 5] [--directory ON_A_REAL_DISK]

Prints one JSON object: the median of the repeats, and the module's own CPU time per operation. Each mint is one token for a meter
that has been seen before in this run or not, half and half; the module's decoder key cache starts empty. The last lines are of whole
sales in bursts, as a switch sends them: so many verifications, then their mints, then the MACs of their answers.
"""

import argparse
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
from vending.money import Tenths

PIPELINE = 256
METERS = 20_000
MESSAGE_OCTETS = 120
"""A recharge request of the terminals' dialect without its MAC."""
ANSWER_OCTETS = 330
"""Its answer, with one token and the lines of its ticket."""
BURSTS = (1, 4, 16, 64)
"""Sales that a switch has at the same step at the same moment."""


@contextmanager
def module(directory: Path) -> Iterator[tuple[int, int]]:
    """Run a fresh module; gives its port and process id."""
    run_file = directory / "run.json"
    init(directory / "module", seed_test_keys=True, now=datetime.now(UTC))  # noqa: TID251
    arguments = ["--directory", str(directory / "module"), "--listen", "127.0.0.1:0", "--run-file", str(run_file)]
    child = subprocess.Popen(
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
        for body in reader.receive(link.recv(1 << 17)):
            _, reply = decode_reply(body)
            assert not isinstance(reply, Refused) or reply.status is Status.MAC_MISMATCH, reply
            answered += 1
        done += answered
        under_way -= answered
        if answered and time.perf_counter() < end:
            link.sendall(b"".join([encode_request(next(ids), next(requests)) for _ in range(answered)]))
            under_way += answered
    return done, time.perf_counter() - started


def mints(algorithm: int) -> Iterator[Request]:
    """Endless mint requests with new ids, over many meters."""
    tid = tid_at(datetime.now(UTC), BaseDate.Y2014)  # noqa: TID251
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
                tokens=((tid, Tenths(438)),),
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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--directory", type=Path, default=None)
    options = parser.parse_args()
    loads: dict[str, Callable[[], Iterator[Request]]] = {
        "mint_ea11": lambda: mints(11),
        "mint_ea07": lambda: mints(7),
        "mac_x9_19": lambda: macs(10, "X9.19"),
        "mac_aes_cmac": lambda: macs(11, "AES-CMAC"),
    }
    report: dict[str, float] = {}
    with tempfile.TemporaryDirectory(dir=options.directory) as scratch, module(Path(scratch)) as (port, pid):
        layout = Layout(Path(scratch) / "module")
        context = ssl.create_default_context(cafile=str(layout.authority))
        context.load_cert_chain(str(layout.client("switch")))
        with (
            socket.create_connection(("127.0.0.1", port)) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as link,
        ):
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for name, load in loads.items():
                for label, window in (("one_by_one", 1), ("pipelined", PIPELINE)):
                    requests = load()
                    next(requests)
                    rates, costs = [], []
                    for _ in range(options.repeats):
                        before = cpu_seconds(pid)
                        done, took = drive(link, requests, options.seconds, window)
                        rates.append(done / took)
                        costs.append((cpu_seconds(pid) - before) / done * 1e6)
                    report[f"{name}_{label}_per_second"] = round(statistics.median(rates))
                    report[f"{name}_{label}_module_cpu_us"] = round(statistics.median(costs), 1)
            verifications, orders = macs(10, "X9.19"), mints(11)
            next(orders)
            for burst in BURSTS:
                costs = []
                for _ in range(options.repeats):
                    before = cpu_seconds(pid)
                    done = sell(link, verifications, orders, options.seconds, burst)
                    costs.append((cpu_seconds(pid) - before) / done * 1e6)
                report[f"sale_in_bursts_of_{burst}_module_cpu_us"] = round(statistics.median(costs), 1)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
