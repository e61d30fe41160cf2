"""One run: a town under a seed, from the first sale to the proof."""

import gc
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from unittest.mock import patch

import structlog
from sqlalchemy import Engine, create_engine, text
from twisted.internet import defer
from twisted.python.failure import Failure

from config.switch import SwitchSection
from ledger.database import open_engine
from ledger.embedded import EmbeddedPostgres
from pos.mac import signer
from pos.store import TerminalIdentity
from switch import log as switch_log
from tests.simulation import town
from tests.simulation.database import SimulatedDatabase
from tests.simulation.faults import CALM, CrashPoint, ModuleMode, Weather, draw_weather
from tests.simulation.invariants import Found, Proof
from tests.simulation.module import SimulatedModule
from tests.simulation.network import Network
from tests.simulation.one_switch import OneSwitch
from tests.simulation.process import Process
from tests.simulation.setting import Setting
from tests.simulation.terminal import Habits, Terminal
from vending.money import Centavos
from vending.ports import MacScheme

QUIET_SECONDS_MAX = 900.0
"""So long after the last fault everything must be finished: a few resolver intervals and the longest pauses of a terminal."""

_HALF_HOUR = 1800
_database_numbers = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a run did and found."""

    seed: int
    sales: int
    begun: int
    found: Found
    faults: dict[str, int]
    violations: tuple[str, ...]
    fingerprint: str
    trace: tuple[str, ...]
    virtual_seconds: float
    real_seconds: float

    @property
    def again(self) -> str:
        """How to run it again."""
        return f"python -m tests.simulation --seed {self.seed} --sales {self.sales} --trace"

    def __str__(self) -> str:
        lines = [f"seed {self.seed}: {len(self.violations)} violations", *self.violations, f"again: {self.again}"]
        return "\n  ".join(lines)


class _Lines:
    """Takes the switch's error lines: in a run whose every fault is planned there must be none."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting

    def write(self, line: str, /) -> None:
        if line.strip():
            self._setting.violation(f"the switch logged {line.strip()[:3000]}")

    def flush(self) -> None:
        """Nothing is held."""


class Simulation:
    """One run.

    Args:
        seed: decides everything.
        sales: how many are begun.
        dsn: of an empty, migrated database of its own.
    """

    def __init__(self, seed: int, sales: int, *, dsn: str, weather: Weather | None = None) -> None:
        self.setting = setting = Setting(seed)
        random = setting.random
        self._sales = sales
        self._begun = 0
        self._weather = draw_weather(random) if weather is None else weather
        self._engine = open_engine(dsn, pool_size=1)
        terminals = random.randrange(3, 10)
        ids = [f"T{number:07}" for number in range(terminals)]
        if random.random() < 0.4:
            ids[-1] = ids[0]
        meters = random.randrange(2, 9)
        self._deposit = random.choice((100_000_000_000, 3_000_000 * max(sales, 10) // 4))
        town.build(self._engine, terminal_ids=ids, meters=meters, deposit=Centavos(self._deposit))
        self._database = SimulatedDatabase(dsn, setting)
        self._module = SimulatedModule(setting)
        self._network = Network(setting)
        self._graveyard: list[OneSwitch] = []
        self._names = count(1)
        self._switch_count = random.choice((1, 1, 2))
        self._writers = random.choice((1, 2))
        # An impatient resolver takes up what another switch is still working on.
        self._section = SwitchSection(
            resolver_age_seconds=random.choice((15.0, 15.0, 1.0, 0.01)),
            resolver_interval_seconds=random.choice((5.0, 0.5)),
        )
        habits = Habits(
            meter_numbers=tuple(town.number_of(number) for number in range(1, meters + 1)),
            pause_seconds=random.choice((0.05, 1.0, 5.0)),
            reverses=random.choice((0.0, 0.1, 0.4)),
            restarts=random.choice((0.0, 0.02)),
        )
        self._terminals = [self._terminal(terminal_id, habits) for terminal_id in ids]

    def run(self) -> Report:
        """Run to the end and prove it."""
        began = time.perf_counter()
        setting = self.setting
        with _faults_seen(setting):
            self._live()
            self._engine.dispose()
            self._database.close()
        ended = [each for terminal in self._terminals for each in terminal.ended]
        proof = Proof(self._engine, self._module, setting, deposit_centavos=self._deposit)
        found = proof.run(ended)
        self._engine.dispose()
        self._module.close()
        return Report(
            seed=setting.seed,
            sales=self._sales,
            begun=self._begun,
            found=found,
            faults=dict(sorted(setting.faults.items())),
            violations=tuple(setting.violations),
            fingerprint=setting.fingerprint,
            trace=tuple(setting.trace),
            virtual_seconds=setting.clock.seconds(),
            real_seconds=time.perf_counter() - began,
        )

    def _live(self) -> None:
        setting = self.setting
        for _ in range(self._switch_count):
            self._start_switch()
        setting.weather = self._weather
        if self._weather.disturbance_seconds:
            self._plan_disturbance()
        for terminal in self._terminals:
            terminal.start()
        begun, begun_at = 0, 0.0
        while self._begun < self._sales and not setting.violations:
            if self._begun > begun:
                begun, begun_at = self._begun, setting.clock.seconds()
            elif setting.clock.seconds() > begun_at + QUIET_SECONDS_MAX:
                setting.violation(f"stuck: no sale could be begun for {QUIET_SECONDS_MAX:.0f} seconds")
            self._advance()
        setting.tell("the weather is calm")
        setting.weather = CALM
        self._module.mode = ModuleMode.UP
        self._database.is_away = False
        give_up_at = setting.clock.seconds() + QUIET_SECONDS_MAX
        while not setting.violations and not self._is_quiet():
            if setting.clock.seconds() > give_up_at:
                open_ones = [each.identity.terminal_id for each in self._terminals if not each.is_closed]
                setting.violation(f"not quiet: terminals {open_ones} have no final answer, {self._reserved()} reserved")
                break
            until = setting.clock.seconds() + 1.0
            while setting.clock.seconds() < until:
                self._advance()

    def _advance(self) -> None:
        """Let time pass to the next thing that happens."""
        clock = self.setting.clock
        clock.rightNow = max(clock.rightNow, clock.calls[0].getTime())
        clock.advance(0)

    def _is_quiet(self) -> bool:
        return all(terminal.is_closed for terminal in self._terminals) and not self._reserved()

    def _reserved(self) -> int:
        with self._engine.connect() as connection:
            return int(connection.execute(text("SELECT count(*) FROM sale WHERE state = 'reserved'")).scalar_one())

    def _may_begin(self) -> bool:
        if self._begun >= self._sales:
            return False
        self._begun += 1
        return True

    def _terminal(self, terminal_id: str, habits: Habits) -> Terminal:
        key = town.terminal_key(terminal_id)
        identity = TerminalIdentity(
            terminal_id=terminal_id,
            merchant_id="TIENDA000000001",
            nii="001",
            mac_scheme=MacScheme.X9_19,
            mac_key=key,
        )
        return Terminal(
            identity,
            signer(MacScheme.X9_19, key),
            network=self._network,
            setting=self.setting,
            habits=habits,
            may_begin=self._may_begin,
        )

    # Switches.

    def all_switches(self) -> list[OneSwitch]:
        """Return those that died and those that run."""
        return self._graveyard + self._network.switches

    def _start_switch(self) -> None:
        name = f"switch {next(self._names)}"
        self.setting.tell(f"{name} starts")
        process = Process(name, self.setting, self._switch_died)
        switch = OneSwitch(
            process,
            setting=self.setting,
            section=self._section,
            network=town.acquirer_section(),
            database=self._database,
            module=self._module,
            writers=self._writers,
        )
        self._network.switches.append(switch)
        switch.start()

    def _switch_died(self, process: Process) -> None:
        (switch,) = [each for each in self._network.switches if each.process is process]
        # Kept to the end: what its collection would do, a dead process does not do.
        self._graveyard.append(switch)
        self._network.died(switch)
        self.setting.clock.callLater(self.setting.random.choice((0.05, 1.0, 8.0, 30.0)), self._start_switch)

    # Outages and the like.

    def _plan_disturbance(self) -> None:
        mean = self._weather.disturbance_seconds
        self.setting.clock.callLater(self.setting.random.expovariate(1 / mean), self._disturb)

    def _disturb(self) -> None:
        setting, random = self.setting, self.setting.random
        if setting.weather is not self._weather:
            return
        kind = random.choice(("module", "module", "database", "clock", "crash", "links"))
        if kind == "module":
            self._module.mode = random.choice(list(ModuleMode))
            setting.count(f"module: {self._module.mode.value}")
            setting.tell(f"module {self._module.mode.value}")
            setting.clock.callLater(random.choice((0.5, 5.0, 20.0, 60.0)), self._mend_module)
        elif kind == "database":
            self._database.is_away = True
            setting.count("database away for a while")
            setting.clock.callLater(random.choice((0.5, 5.0, 20.0)), self._mend_database)
        elif kind == "clock":
            size = random.choice((0.5, 5.0, 90.0, _HALF_HOUR, 3 * 86400.0))
            setting.step_clock(random.choice((-1, 1)) * size)
        elif kind == "crash" and self._network.switches:
            setting.count(f"crash: {CrashPoint.ANY_TIME.value}")
            random.choice(self._network.switches).process.die()
        elif kind == "links":
            setting.count("every link cut")
            self._network.cut_all()
        self._plan_disturbance()

    def _mend_module(self) -> None:
        self._module.mode = ModuleMode.UP
        self.setting.tell("module up")

    def _mend_database(self) -> None:
        self._database.is_away = False


@contextmanager
def _faults_seen(setting: Setting) -> Iterator[None]:
    """Make a violation of every error line of the switch and of every failure that nobody took."""
    output = switch_log._output
    before = (output.lines, output.level, output.pipeline)
    configuration = structlog.get_config()
    switch_log.configure(_Lines(setting), "error", is_bridging_twisted=False)
    try:
        with patch.object(defer, "log", _UntakenFailures(setting)):
            yield
    finally:
        output.lines, output.level, output.pipeline = before
        structlog.configure(**configuration)


class _UntakenFailures:
    """Stands where Twisted logs the failure of a Deferred that nobody handled."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting

    def critical(self, *_: object, **__: object) -> None:
        """It announces what comes."""

    def failure(self, _: str, failure: Failure, **__: object) -> None:
        """Nobody handled *failure*."""
        self._setting.violation(f"nobody took this failure: {failure.getTraceback()[-3000:]}")


def _bury(dead: list[OneSwitch]) -> None:
    """Let go of switches. What their coroutines still say when they are collected is not for anybody."""
    with _faults_seen(Setting(0)), patch.object(sys, "unraisablehook", lambda _: None):
        dead.clear()
        gc.collect()
        gc.collect()  # what the first one woke


@contextmanager
def new_database(server: EmbeddedPostgres, template: str, *, is_kept: bool) -> Iterator[str]:
    """Give the DSN of a copy of *template*, and drop it afterwards unless its server does not live long."""
    name = f"simulation_{next(_database_numbers)}"
    administration: Engine = create_engine(server.dsn_of("postgres"), isolation_level="AUTOCOMMIT")
    with administration.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy"))
        # The server itself does not crash in a simulation, so nothing has to reach the disk.
        connection.execute(text(f"ALTER DATABASE {name} SET synchronous_commit = off"))
    try:
        yield server.dsn_of(name)
    finally:
        with administration.connect() as connection:
            if not is_kept:
                connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        administration.dispose()


def simulate(
    seed: int,
    sales: int,
    *,
    server: EmbeddedPostgres,
    template: str,
    weather: Weather | None = None,
    is_kept: bool = True,
) -> Report:
    """Run one seed in a database of its own."""
    with new_database(server, template, is_kept=is_kept) as dsn:
        simulation = Simulation(seed, sales, dsn=dsn, weather=weather)
        report = simulation.run()
        dead = simulation.all_switches()
        del simulation
        _bury(dead)
        return report
