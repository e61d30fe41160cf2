"""Everything on one machine: PostgreSQL, security module, switch, a seeded town. Started in order, stopped in the opposite one."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine, text

from cli import context
from cli.processes import Process, start_process
from config.home import HOME_VARIABLE
from ledger.embedded import EmbeddedPostgres
from ledger.upgrade import upgrade
from security_module.ceremony import init
from security_module.layout import Layout
from town.generate import DEFAULT_METERS, DEFAULT_SEED, DEFAULT_TERMINALS, generate
from town.load import load_into
from vending.calendar import local_date

FREE_PORT = "127.0.0.1:0"


@dataclass(slots=True, kw_only=True)
class RunningSystem:
    """What runs, and where.

    Attributes:
        home: its state directory.
        dsn: of the ledger.
        security_module: the process.
        switch: the process.
        postgres_pid: the postmaster, None where the database is somebody else's.
        environment: what the switch was told beside its configuration.
        processes: of the switch, None: one without a supervisor.
    """

    home: Path
    dsn: str
    security_module: Process
    switch: Process
    postgres_pid: int | None
    environment: Mapping[str, str]
    processes: int | None = None
    module_address: tuple[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.module_address = (str(self.security_module.run["host"]), int(self.security_module.run["port"]))

    @property
    def switch_address(self) -> tuple[str, int]:
        """Where the switch serves the town's datáfonos."""
        return self.network_address(context.ACQUIRER_ID)

    def network_address(self, acquirer_id: str) -> tuple[str, int]:
        """Where the switch serves a network."""
        host, _, port = str(self.switch.run["acquirers"][acquirer_id]).rpartition(":")
        return host, int(port)

    @property
    def metrics_address(self) -> str:
        """host:port of the switch's HTTP port."""
        return str(self.switch.run["metrics"])

    @property
    def pids(self) -> Mapping[str, int]:
        """Process ids by name; of several switch processes each has a number: ``switch_2``."""
        processes = self.switch.run.get("processes")
        switches = (
            {"switch": self.switch.pid}
            if processes is None
            else {f"switch_{process['number']}": int(process["pid"]) for process in processes}
        )
        pids = {**switches, "security_module": self.security_module.pid}
        return pids if self.postgres_pid is None else {**pids, "postgres": self.postgres_pid}

    def restart_switch(self) -> None:
        """Start a new switch on the old one's ports, after the old one ended in whatever way."""
        host, port = self.switch_address
        ports = {_port_variable(name): str(self.network_address(name)[1]) for name in self.switch.run["acquirers"]}
        environment = {**self.environment, **ports}
        self.switch = start_switch(
            self.module_address, port=port, metrics_port=0, environment=environment, processes=self.processes
        )
        assert self.switch_address == (host, port)


@contextmanager
def running_system(
    home: Path | None = None,
    *,
    on_free_ports: bool,
    meters: int = DEFAULT_METERS,
    terminals: int = DEFAULT_TERMINALS,
    environment: Mapping[str, str] | None = None,
    switches: int | None = None,
) -> Iterator[RunningSystem]:
    """Run everything; stop it all when the block ends.

    Args:
        home: state directory, None for the one of this installation.
        on_free_ports: for tests and benchmarks; otherwise the configured ports are used.
        meters: of the town that is seeded into an empty ledger.
        terminals: likewise.
        environment: more settings for the switch.
        switches: so many switch processes under a supervisor; None: as configured.

    Raises:
        StartError: a process did not start; its log says why.
    """
    with _at_home(home):
        prepare(meters=meters, terminals=terminals)
        section = context.settings().security_module.endpoints[0]
        with ExitStack() as stack:
            module = context.start_security_module(FREE_PORT if on_free_ports else str(section))
            # Whatever process plays the part when the end comes: a test may have replaced it.
            running: list[RunningSystem] = []
            stack.callback(lambda: (running[0].security_module if running else module).stop())
            address = str(module.run["host"]), int(module.run["port"])
            zero = 0 if on_free_ports else None
            switch = start_switch(address, port=zero, metrics_port=zero, environment=environment, processes=switches)
            stack.callback(lambda: (running[0].switch if running else switch).stop())
            running.append(
                RunningSystem(
                    home=context.home(),
                    dsn=context.database_dsn(),
                    security_module=module,
                    switch=switch,
                    postgres_pid=_postmaster_pid(),
                    environment=environment or {},
                    processes=switches,
                )
            )
            yield running[0]


def prepare(*, meters: int = DEFAULT_METERS, terminals: int = DEFAULT_TERMINALS) -> None:
    """Make what is missing: a configuration, a database of the present schema, a security module, a town."""
    now = datetime.now(UTC)  # noqa: TID251 - the command is where the clock comes from
    context.home()
    if not Layout(context.module_directory()).store.exists():
        init(context.module_directory(), seed_test_keys=True, now=now)
    engine = context.engine()
    upgrade(engine)
    if not _has_meters(engine):
        town = generate(seed=DEFAULT_SEED, meters=meters, terminals=terminals, day=local_date(now))
        load_into(engine, town, at=now)


def start_switch(
    module: tuple[str, int],
    *,
    port: int | None = None,
    metrics_port: int | None = None,
    environment: Mapping[str, str] | None = None,
    processes: int | None = None,
) -> Process:
    """Start a switch on this machine.

    Args:
        module: address of the security module.
        port: of the town's network, None: as configured. Where it is given the other networks take free ports.
        metrics_port: likewise.
        environment: more settings.
        processes: how many, under a supervisor; None: as configured.
    """
    more = {
        "EUDORA_DATABASE__DSN": context.database_dsn(),
        "EUDORA_SECURITY_MODULE__ENDPOINTS": f'["{module[0]}:{module[1]}"]',
        **({} if port is None else {_port_variable(name): "0" for name in context.settings().acquirers}),
        **(environment or {}),
    }
    if port is not None:
        more[_port_variable(context.ACQUIRER_ID)] = str(port)
    if metrics_port is not None:
        more["EUDORA_SWITCH__METRICS_PORT"] = str(metrics_port)
    run_file = context.run_file("switch")
    return start_process(
        "switch",
        ["switch", "run", "--run-file", str(run_file), *([] if processes is None else ["--processes", str(processes)])],
        run_file=run_file,
        log_file=context.log_file("switch"),
        environment=more,
    )


def _port_variable(acquirer_id: str) -> str:
    return f"EUDORA_ACQUIRERS__{acquirer_id.upper()}__LISTEN_PORT"


@contextmanager
def _at_home(home: Path | None) -> Iterator[None]:
    """Let this process and its children live in *home*, and stop a database that was started for it."""
    before = os.environ.get(HOME_VARIABLE)
    if home is not None:
        os.environ[HOME_VARIABLE] = str(home)
        _forget()
    try:
        yield
    finally:
        if home is not None:
            context.engine().dispose()
            EmbeddedPostgres(context.settings().database.directory).stop()
            if before is None:
                del os.environ[HOME_VARIABLE]
            else:
                os.environ[HOME_VARIABLE] = before
            _forget()


def _forget() -> None:
    """What was read from another home is not true here, and its connections are closed."""
    if context.engine.cache_info().currsize:
        context.engine().dispose()
    remembered_there = (
        context.settings,
        context.database_dsn,
        context.engine,
        context.module_keys,
        context.module_address,
    )
    for remembered in remembered_there:
        remembered.cache_clear()


def _has_meters(engine: Engine) -> bool:
    with engine.connect() as connection:
        return connection.execute(text("SELECT 1 FROM meter LIMIT 1")).first() is not None


def _postmaster_pid() -> int | None:
    section = context.settings().database
    if section.dsn is not None:
        return None
    return int((section.directory / "postmaster.pid").read_text().split()[0])
