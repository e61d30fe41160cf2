"""Whether one network's bad day reaches the others: ``python -m benchmarks.isolation``.

Real processes: PostgreSQL, a security module, one switch (or more), a town, and one load process for each of three networks, a dialect
each. They sell at a steady pace throughout. Meanwhile one network after the other is cut, killed, and flooded in every way that
`benchmarks.isolation_attack` knows; between two attacks it is quiet. Printed are the latencies of each network in each of these times,
and how they compare with the quiet ones. At the end the ledger is checked, and every network compares its own file of the day with ours.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from sqlalchemy import text

from benchmarks.isolation_attack import ATTACKS
from benchmarks.isolation_books import differences, settle, speaker
from benchmarks.isolation_load import LINES, NetworkPlan
from cli import context
from cli.bench import ledger_check, percentile
from cli.process_cpu import cpu_microseconds
from cli.system import RunningSystem, running_system
from ledger.database import open_engine
from security_module.terminal_keys import export_terminal_key

ROOT = Path(__file__).parents[1]

TERMINALS = 20
"""Of each network; the town has no more of those that speak other dialects than ``datafono``."""

METERS = 10_000
"""Many, so that two sales seldom meet on one meter and wait for each other."""

PAID_CENTAVOS = (100_000, 200_000, 500_000)
"""Small sums: the floats of the town's smaller networks must last."""

CUT_SECONDS = 0.2
"""Between two resets of all connections of a network."""

KILL_SECONDS = 2.5
"""Between two deaths of a network's process."""

SETTLE_SECONDS = 1.5
"""After an attack, before the quiet is measured: so long, and then until what it held up is through."""

HAND_OVER_SECONDS = 0.2
"""Between two processes at one address."""

BACKOFF_MAX_SECONDS = 2.0
"""Of the links that the switch opens: below a phase's length, so that they come back within it."""

SETTLED_MS = 300.0
SETTLE_SECONDS_MAX = 60.0

PROBE_SECONDS = 0.025

RATIO_MAX = 2.0
"""The others' 99th percentile may be this much of its quiet value."""

OWN_FAULTS = ("cut", "killed")
"""What happens to a network's own connections and processes; the other attacks come from outside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A time in which one thing happened: ``target`` had ``fault``, or it was quiet (both empty). Readings of the monotonic clock."""

    target: str
    fault: str
    start: float
    end: float
    switch_cpu_share: float
    did: Mapping[str, Any]


class NetworkProcess:
    """The load process of one network, which may be killed and started again."""

    def __init__(self, plan: NetworkPlan) -> None:
        self.plan = plan
        self._start()

    def _start(self) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.isolation_load"], stdin=subprocess.PIPE, text=True, cwd=ROOT
        )
        self.tell(self.plan.as_line())

    def tell(self, line: str) -> None:
        """Send a command."""
        pipe: IO[str] | None = self._child.stdin
        assert pipe is not None
        pipe.write(line + "\n")
        pipe.flush()

    def last_latency_ms(self) -> float:
        """Return how long the sale took that ended last."""
        with open(self.plan.latencies, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 200))
            lines = file.read().split(b"\n")[1:-1]
        return float(lines[-1].split(b",")[1]) if lines else 0.0

    def restart(self) -> None:
        """SIGKILL, and start again at once."""
        self.kill()
        self._start()

    def kill(self) -> None:
        """SIGKILL."""
        self._child.kill()
        self._child.wait()
        assert self._child.stdin is not None
        self._child.stdin.close()

    def finish(self, seconds: float = 60.0) -> None:
        """Let every sale come to its end."""
        self.tell("stop")
        self._child.wait(seconds)


class MachineProbe:
    """What the machine itself does meanwhile: forty times a second a small write to the disk, from when it was due to when it is durable.

    Where this is slow everything is, whatever happens to whichever network.
    """

    def __init__(self, path: Path) -> None:
        self.latencies: list[tuple[float, float]] = []
        self._path = path
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Measure no more."""
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
        due = time.monotonic()
        while not self._is_over.wait(max(0.0, due - time.monotonic())):
            os.pwrite(file, b"probe", 0)
            os.fdatasync(file)
            self.latencies.append((due, (time.monotonic() - due) * 1000))
            due += PROBE_SECONDS
        os.close(file)


class Stage:
    """The running processes, and what is done to them."""

    def __init__(self, networks: Mapping[str, NetworkProcess], switch_pids: Sequence[int]) -> None:
        self.phases: list[Phase] = []
        self._networks = networks
        self._switch_pids = switch_pids

    def quiet(self, seconds: float) -> None:
        """Let it be."""
        self._phase("", "", partial(_wait, seconds))

    def fault(self, target: str, fault: str, seconds: float) -> None:
        """Do something to one network for so long, then let it settle."""
        acts: Mapping[str, Callable[[NetworkProcess, float], Mapping[str, Any]]] = {"cut": _cut, "killed": _kill}
        network = self._networks[target]
        act = acts.get(fault)
        self._phase(target, fault, lambda: _attack(network, fault, seconds) if act is None else act(network, seconds))
        time.sleep(SETTLE_SECONDS)
        until = time.monotonic() + SETTLE_SECONDS_MAX
        while time.monotonic() < until and max(each.last_latency_ms() for each in self._networks.values()) > SETTLED_MS:
            time.sleep(0.1)

    def _phase(self, target: str, fault: str, act: Callable[[], Mapping[str, Any]]) -> None:
        start, used = time.monotonic(), self._cpu()
        did = act()
        end = time.monotonic()
        share = round((self._cpu() - used) / 1e6 / (end - start), 2)
        self.phases.append(Phase(target=target, fault=fault, start=start, end=end, switch_cpu_share=share, did=did))

    def _cpu(self) -> int:
        return sum(cpu_microseconds(pid) for pid in self._switch_pids)


def _wait(seconds: float) -> Mapping[str, Any]:
    time.sleep(seconds)
    return {}


def _cut(network: NetworkProcess, seconds: float) -> Mapping[str, Any]:
    network.tell(f"cut {CUT_SECONDS}")
    time.sleep(seconds)
    network.tell("calm")
    return {}


def _kill(network: NetworkProcess, seconds: float) -> Mapping[str, Any]:
    until, deaths = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        network.restart()
        deaths += 1
        time.sleep(max(0.0, min(KILL_SECONDS, until - time.monotonic())))
    return {"deaths": deaths}


def _attack(network: NetworkProcess, fault: str, seconds: float) -> Mapping[str, Any]:
    plan = network.plan
    if plan.is_host:
        # Whoever is at its address is its host: its own process makes room for the attacker.
        network.tell("away")
        time.sleep(HAND_OVER_SECONDS)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks.isolation_attack",
            fault,
            plan.dialect,
            str(seconds),
            plan.host,
            str(plan.port),
            *(["host"] if plan.is_host else []),
        ],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        check=True,
        timeout=seconds + 60,
    )
    if plan.is_host:
        network.tell("back")
    did: Mapping[str, Any] = json.loads(done.stdout)
    return did


def plans(
    system: RunningSystem, directory: Path, rate: float, called: Mapping[str, tuple[str, int]]
) -> list[NetworkPlan]:
    """Return what each network's load process is told.

    Args:
        system: the running one.
        directory: for what the networks write down.
        rate: sales per second of each network.
        called: where those wait whose links the switch opens.
    """
    engine = open_engine(system.dsn)
    with engine.connect() as connection:
        meters = list(connection.scalars(text("SELECT meter_number FROM meter WHERE status = 'active' ORDER BY id")))
    engine.dispose()
    made = []
    for number, (dialect, network) in enumerate(context.DIALECT_NETWORKS.items()):
        mac = context.settings().acquirers[network].mac
        terminal_ids = [
            f"{network[0].upper() if dialect != 'datafono' else 'T'}{each:07}" for each in range(1, TERMINALS + 1)
        ]
        keys = {each: export_terminal_key(context.module_keys(), mac.register_id, each) for each in terminal_ids}
        host, port = called.get(network) or system.network_address(network)
        made.append(
            NetworkPlan(
                network=network,
                dialect=dialect,
                host=host,
                port=port,
                is_host=network in called,
                keys={terminal_id: key.reveal().hex() for terminal_id, key in keys.items()},
                mac_scheme=mac.scheme,
                merchant_id=context.DEMO_MERCHANT_ID,
                nii=context.DEMO_NII,
                meters=meters,
                paid_centavos=list(PAID_CENTAVOS),
                sales_per_second=rate,
                journal=str(directory / f"{network}.journal"),
                latencies=str(directory / f"{network}.latencies"),
                seed=number,
            )
        )
    return made


Latencies = Sequence[tuple[float, float]]
"""When something was due, and how many milliseconds it took."""


def measured(phases: Sequence[Phase], latencies: Mapping[str, Latencies], machine: Latencies) -> list[dict[str, Any]]:
    """Return a row for each thing that happened: latencies of every network by when a sale was due; the first row is the quiet one."""
    kinds = list(dict.fromkeys((phase.target, phase.fault) for phase in phases))
    rows: list[dict[str, Any]] = []
    for target, fault in sorted(kinds, key=lambda kind: kind != ("", "")):
        parts = [phase for phase in phases if (phase.target, phase.fault) == (target, fault)]
        row: dict[str, Any] = {
            "target": target,
            "fault": fault or "quiet",
            "switch_cpu_share": max(phase.switch_cpu_share for phase in parts),
            "machine_p99_ms": percentile(_within(parts, machine), 99),
            "did": [phase.did for phase in parts if phase.did],
            "networks": {},
        }
        for network, points in latencies.items():
            found = _within(parts, points)
            quiet = rows[0]["networks"][network]["p99_ms"] if rows else percentile(found, 99)
            p99 = percentile(found, 99)
            row["networks"][network] = {
                "sales": len(found),
                "p50_ms": percentile(found, 50),
                "p99_ms": p99,
                "max_ms": percentile(found, 100),
                "ratio": None if p99 is None or not quiet else round(p99 / quiet, 2),
            }
        rows.append(row)
    return rows


def _within(phases: Sequence[Phase], points: Latencies) -> list[float]:
    return sorted(each for due, each in points if any(phase.start <= due < phase.end for phase in phases))


def _latencies(path: Path) -> Latencies:
    cells = (line.split(",") for line in path.read_text().split("\n")[:-1])
    return [(float(due), float(latency)) for due, latency, _ in cells]


def worst_of_others(rows: Sequence[Mapping[str, Any]]) -> float:
    """Return the largest ratio of a network that nothing was done to."""
    return max(
        (
            found["ratio"] or float("inf")
            for row in rows
            if row["target"]
            for network, found in row["networks"].items()
            if network != row["target"]
        ),
        default=0.0,
    )


def as_text(result: Mapping[str, Any]) -> str:
    """Return the result as a table."""
    names = list(result["rows"][0]["networks"])
    lines = [f"{'':30}{'cpu':>6}{'disk':>8}  " + "".join(f"{name:>32}" for name in names)]
    lines.append(f"{'':46}" + f"{'p50':>8}{'p99':>8}{'max':>9}{'ratio':>7}" * len(names))
    for row in result["rows"]:
        cells = "".join(
            f"{found['p50_ms'] or 0:8.1f}{found['p99_ms'] or 0:8.1f}{found['max_ms'] or 0:9.1f}{found['ratio'] or 0:7.2f}"
            for found in row["networks"].values()
        )
        lines.append(
            f"{row['target'] + ' ' + row['fault']:30}{row['switch_cpu_share']:6.2f}{row['machine_p99_ms'] or 0:8.1f}  {cells}"
        )
    rest = {key: value for key, value in result.items() if key not in ("rows", "ledger_check")}
    lines += [f"{key}: {json.dumps(value)}" for key, value in rest.items()]
    return "\n".join([*lines, f"ledger check agrees: {result['ledger_check']['agrees']}"])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=60.0, help="sales per second of each network")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each attack")
    parser.add_argument("--quiet-seconds", type=float, default=4.0, help="before each attack")
    parser.add_argument("--we-connect", default="loteria", help="networks whose links the switch opens")
    parser.add_argument("--warm-up", type=float, default=5.0)
    parser.add_argument("--switches", type=int, help="switch processes under a supervisor; without it one alone")
    parser.add_argument("--targets", default=",".join(context.DIALECT_NETWORKS.values()))
    parser.add_argument("--faults", default=",".join((*OWN_FAULTS, *ATTACKS)))
    parser.add_argument("--setting", action="append", default=[], help="of the switch, EUDORA_...=value")
    parser.add_argument("--json", action="store_true", dest="as_json")
    return parser.parse_args()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def _links_of(called: Mapping[str, tuple[str, int]]) -> dict[str, str]:
    """Return the settings of networks whose links the switch opens: as many as a load process has lines."""
    settings: dict[str, str] = {}
    for name, (host, port) in called.items():
        table = f"EUDORA_ACQUIRERS__{name.upper()}"
        settings |= {
            f"{table}__ROLE": "we_connect",
            f"{table}__LINKS__HOSTS": json.dumps([f"{host}:{port}"]),
            f"{table}__LINKS__COUNT": str(LINES),
            f"{table}__LINKS__ECHO_INTERVAL_SECONDS": "250",
            f"{table}__LINKS__BACKOFF_MAX_SECONDS": str(BACKOFF_MAX_SECONDS),
        }
    return settings


def run(options: argparse.Namespace, directory: Path) -> dict[str, Any]:
    """Run everything and return the result."""
    speakers = {
        f"EUDORA_ACQUIRERS__{network.upper()}__NETWORK_TERMINALS": json.dumps([speaker([f"{letter}0000001"])])
        for network, letter in (("datafonos", "T"), ("recargas", "R"), ("loteria", "L"))
    }
    called = {name: ("127.0.0.1", _free_port()) for name in options.we_connect.split(",") if name}
    environment = {**speakers, **_links_of(called), **dict(each.split("=", 1) for each in options.setting)}
    home = directory / "home"
    with ExitStack() as stack:
        system = stack.enter_context(
            running_system(home, on_free_ports=True, meters=METERS, environment=environment, switches=options.switches)
        )
        networks = {plan.network: NetworkProcess(plan) for plan in plans(system, directory, options.rate, called)}
        for network in networks.values():
            stack.callback(network.kill)
        probe = MachineProbe(directory / "probe")
        time.sleep(options.warm_up)
        stage = Stage(networks, [pid for name, pid in system.pids.items() if name.startswith("switch")])
        for target in options.targets.split(","):
            for fault in options.faults.split(","):
                stage.quiet(options.quiet_seconds)
                stage.fault(target, fault, options.seconds)
        probe.stop()
        for network in networks.values():
            network.finish()
        engine = open_engine(system.dsn)
        settled = settle(engine, [network.plan for network in networks.values()], directory)
        engine.dispose()
        check = ledger_check(home)
        latencies = {name: _latencies(Path(network.plan.latencies)) for name, network in networks.items()}
        rows = measured(stage.phases, latencies, probe.latencies)
        return {
            "rows": rows,
            "worst_ratio_of_others": worst_of_others(rows),
            "settlement": settled,
            "settlement_differences": differences(settled),
            "ledger_check": check,
            "rate": options.rate,
            "switches": options.switches,
            "we_connect": options.we_connect,
        }


def main() -> int:
    """Measure and print. The exit status is 0 only if the books agree everywhere and no bystander is slower than `RATIO_MAX` allows."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="eudora-bench-") as directory:
        result = run(options, Path(directory))
    print(json.dumps(result) if options.as_json else as_text(result))
    is_sound = result["ledger_check"]["agrees"] and not result["settlement_differences"]
    return 0 if is_sound and result["worst_ratio_of_others"] <= RATIO_MAX else 1


if __name__ == "__main__":
    sys.exit(main())
