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
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import IO, Any

from sqlalchemy import text

from benchmarks.isolation_account import Reading, read
from benchmarks.isolation_attack import ATTACKS
from benchmarks.isolation_books import differences, settle, speaker
from benchmarks.isolation_load import LINES, NetworkPlan
from benchmarks.isolation_table import Latencies, Phase, above, as_text, measured, worst_of_others
from cli import context
from cli.bench import ledger_check
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

SETTLE_SECONDS = 1.0
"""After an attack, before the quiet is measured: so long, and then until what it held up is through."""

HAND_OVER_SECONDS = 0.2
"""Between two processes at one address."""

BACKOFF_MAX_SECONDS = 2.0
"""Of the links that the switch opens: below a phase's length, so that they come back within it."""

SETTLED_MS = 300.0
SETTLE_SECONDS_MAX = 60.0

PROBE_SECONDS = 0.025

AGAIN_MAX = 2
"""So often a row above the limit is measured again: what is the machine's doing does not come back in the same place."""

OWN_FAULTS = ("cut", "killed")
"""What happens to a network's own connections and processes; the other attacks come from outside."""


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

    def __init__(
        self, networks: Mapping[str, NetworkProcess], pids: Mapping[str, int], *, is_attacker_elsewhere: bool
    ) -> None:
        self.phases: list[Phase] = []
        self._networks = networks
        self._reactors = [name for name in pids if name.startswith("switch")]
        self._pids = {"module" if name == "security_module" else name: pid for name, pid in pids.items()}
        self._pids["loads"] = os.getpid()
        self._is_attacker_elsewhere = is_attacker_elsewhere

    def quiet(self, seconds: float) -> None:
        """Let it be."""
        self._phase("", "", partial(_wait, seconds))

    def fault(self, target: str, fault: str, seconds: float) -> None:
        """Do something to one network for so long, then let it settle."""
        network = self._networks[target]
        if fault in OWN_FAULTS:
            act = partial(_cut if fault == "cut" else _kill, network, seconds)
        else:
            attacker = Attacker(network.plan, fault, seconds, is_elsewhere=self._is_attacker_elsewhere)
            act = partial(_attack, network, seconds, attacker=attacker)
        self._phase(target, fault, act)
        time.sleep(SETTLE_SECONDS)
        until = time.monotonic() + SETTLE_SECONDS_MAX
        while time.monotonic() < until and max(each.last_latency_ms() for each in self._networks.values()) > SETTLED_MS:
            time.sleep(0.1)

    def _phase(self, target: str, fault: str, act: Callable[[], Mapping[str, Any]]) -> None:
        before = self._read()
        did = act()
        after = self._read()
        shares = after.shares_since(before)
        attacker = round(did.get("processor_seconds", 0.0) / (after.at_seconds - before.at_seconds), 2)
        shares |= {"attacker": attacker, "loads": round(shares["loads"] - attacker, 2)}
        start, end = before.at_seconds, after.at_seconds
        self.phases.append(Phase(target=target, fault=fault, start=start, end=end, shares=shares, did=did))

    def _read(self) -> Reading:
        return read(time.monotonic(), self._pids, self._reactors)


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


class Attacker:
    """A process that is ready to attack a network."""

    def __init__(self, plan: NetworkPlan, fault: str, seconds: float, *, is_elsewhere: bool) -> None:
        roles = [*(["host"] if plan.is_host else []), *(["elsewhere"] if is_elsewhere else [])]
        address = (plan.host, str(plan.port))
        self._child = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.isolation_attack", fault, plan.dialect, str(seconds), *address, *roles],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            start_new_session=True,
        )
        assert self._child.stdout is not None
        self._child.stdout.readline()

    def attack(self, seconds: float) -> Mapping[str, Any]:
        """Let it do so, and return what it did."""
        try:
            told, _ = self._child.communicate("go\n", timeout=seconds + 60)
        finally:
            self._child.kill()
        did: Mapping[str, Any] = json.loads(told)
        if not did["connections"]:
            raise RuntimeError("the attacker got no connection: nothing was measured")
        return did


def _attack(network: NetworkProcess, seconds: float, *, attacker: Attacker) -> Mapping[str, Any]:
    if network.plan.is_host:
        # Whoever is at its address is its host: its own process makes room for the attacker.
        network.tell("away")
        time.sleep(HAND_OVER_SECONDS)
    did = attacker.attack(seconds)
    if network.plan.is_host:
        network.tell("back")
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


def _latencies(path: Path) -> Latencies:
    cells = (line.split(",") for line in path.read_text().split("\n")[:-1])
    return [(float(due), float(latency)) for due, latency, _ in cells]


def _rows(stage: Stage, networks: Mapping[str, NetworkProcess], probe: MachineProbe) -> list[dict[str, Any]]:
    latencies = {name: _latencies(Path(network.plan.latencies)) for name, network in networks.items()}
    return measured(stage.phases, latencies, probe.latencies)


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
    parser.add_argument(
        "--again", type=int, default=AGAIN_MAX, help="how often a row above the limit is measured again"
    )
    parser.add_argument("--again-minutes", type=float, default=5.0, help="after so long nothing is measured again")
    parser.add_argument(
        "--attacker", choices=("elsewhere", "here"), default="elsewhere", help="whether it has a machine of its own"
    )
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
    again_until = time.monotonic() + 60 * options.again_minutes
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
        stage = Stage(networks, system.pids, is_attacker_elsewhere=options.attacker == "elsewhere")
        rows = partial(_rows, stage, networks, probe)
        cells = [(target, fault) for target in options.targets.split(",") for fault in options.faults.split(",")]
        for round_number in range(1 + options.again):
            for target, fault in cells:
                if round_number and time.monotonic() > again_until:
                    break
                stage.quiet(options.quiet_seconds)
                stage.fault(target, fault, options.seconds)
            cells = above(rows())
        probe.stop()
        for network in networks.values():
            network.finish()
        engine = open_engine(system.dsn)
        settled = settle(engine, [network.plan for network in networks.values()], directory)
        engine.dispose()
        check = ledger_check(home)
        found = rows()
        return {
            "rows": found,
            "above": above(found),
            "worst_ratio_of_others": worst_of_others(found),
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
    return 0 if is_sound and not result["above"] else 1


if __name__ == "__main__":
    sys.exit(main())
