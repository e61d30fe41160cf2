"""Networks whose keys change: one over the line in both directions while switch and module die in between, one with every message."""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from cli import context
from cli.main import main
from cli.system import RunningSystem, running_system
from messages.dukpt import counter_of
from pos import requests
from pos.client import PosClient, Timers
from pos.dialogue import Dialogue, Final
from pos.dukpt import DukptSigner
from pos.mac import Signer
from pos.requests import Moment
from pos.session_key import HostKeys, SessionKeyFile
from pos.speech import speech_of
from pos.store import ExchangeOpen, TerminalIdentity, TerminalStore
from pos.till import Till
from security_module.terminal_keys import export_initial_key, export_test_key
from tests.flows.command import eudora
from tests.flows.conftest import Books, Monitor
from vending.money import Centavos
from vending.ports import MacScheme
from vending.secret import Secret

ROOT = Path(__file__).parents[2]
NETWORK, FIRST_REGISTER, ZONE_REGISTER = "recargas", 12, 14
OVERLAP_SECONDS = 6
DEVICES = {
    "datafonos": ("datafono", MacScheme.X9_19, 16, "T0000007", bytes.fromhex("FFFF9876543210E00000")),
    "loteria": ("loteria", MacScheme.AES_CMAC, 17, "L0000007", bytes.fromhex("123456789012345600000000")),
}
"""By network: dialect, scheme, register of the base derivation key, terminal, its first key serial number."""
PAID = Centavos(2_000_000)
SELLER, HOST = "R0000007", "R0000008"


def now() -> datetime:
    """The terminals' clock."""
    return datetime.now(UTC)  # noqa: TID251 - a real terminal on a real switch


def _with_devices(network: str) -> dict[str, str]:
    _, scheme, register, terminal_id, ksn = DEVICES[network]
    mac = f"EUDORA_ACQUIRERS__{network.upper()}__MAC__"
    return {
        f"{mac}SCHEME": scheme,
        f"{mac}REGISTER_ID": str(register),
        f"{mac}IS_DIVERSIFIED_BY_TERMINAL": "false",
        f"{mac}DUKPT_DEVICES": json.dumps({terminal_id: ksn.hex()}),
    }


@pytest.fixture(scope="module")
def system() -> Iterator[RunningSystem]:
    """Two switch processes, the top-up network with a key that it changes, and the lottery with DUKPT."""
    mac = "EUDORA_ACQUIRERS__RECARGAS__MAC__"
    environment = {
        f"{mac}REGISTER_ID": str(FIRST_REGISTER),
        f"{mac}IS_DIVERSIFIED_BY_TERMINAL": "false",
        f"{mac}SESSION_KEYS": "true",
        f"{mac}ZONE_REGISTER_ID": str(ZONE_REGISTER),
        **_with_devices("datafonos"),
        **_with_devices("loteria"),
        f"{mac}OVERLAP_SECONDS": str(OVERLAP_SECONDS),
        "EUDORA_ACQUIRERS__RECARGAS__ANSWER_DEADLINE_SECONDS": "3",
        "EUDORA_SECURITY_MODULE__REQUEST_TIMEOUT_SECONDS": "1",
        "EUDORA_SWITCH__RESOLVER_INTERVAL_SECONDS": "0.3",
        "EUDORA_SWITCH__RESOLVER_AGE_SECONDS": "0.5",
    }
    with (
        tempfile.TemporaryDirectory(prefix="eudora-keys-") as home,
        running_system(Path(home), on_free_ports=True, terminals=30, environment=environment, switches=2) as running,
    ):
        yield running


def _first_keys() -> HostKeys:
    return HostKeys(
        scheme=MacScheme.X9_19,
        zone_key=export_test_key(context.module_keys(), ZONE_REGISTER),
        key=export_test_key(context.module_keys(), FIRST_REGISTER),
    )


class Network:
    """The network's end: its file of keys, and terminals that share it."""

    def __init__(self, system: RunningSystem) -> None:
        self._system = system
        self._path = system.home / "red.json"
        SessionKeyFile.create(self._path, _first_keys())
        self._stores = {
            terminal_id: TerminalStore.create(
                system.home / "tills",
                TerminalIdentity(
                    terminal_id=terminal_id,
                    merchant_id="TIENDA000000001",
                    nii="001",
                    mac_scheme=MacScheme.X9_19,
                    mac_key=Secret(bytes(16)),
                ),
            )
            for terminal_id in (SELLER, HOST)
        }

    @staticmethod
    def copy_keys(system: RunningSystem, path: Path) -> None:
        """Put the keys as they are now, or as they began, where the commands look for them."""
        known = system.home / "red.json"
        keys = SessionKeyFile.open(known).keys if known.exists() else _first_keys()
        SessionKeyFile.create(path, keys)

    @property
    def keys(self) -> SessionKeyFile:
        """As the file is now."""
        return SessionKeyFile.open(self._path)

    def till(self, terminal_id: str) -> Till:
        """A terminal that was just switched on."""
        speech = speech_of("recargas", now)
        return Till(self._stores[terminal_id], self._client(5), now=now, speech=speech, session_keys=self.keys)

    def change(self, *, is_given: bool) -> None:
        """Change the key, again and again until an answer comes."""
        octets = iter(range(1, 100))
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            random = (lambda n: bytes((next(octets) * 7 + at * 11) % 251 for at in range(n))) if is_given else None
            outcome = self.till(HOST).change_key(random)
            if isinstance(outcome, Final) and outcome.is_approved:
                return
        raise AssertionError("no key after a minute")

    def ask(self, meter_number: str, signer: Signer) -> str | None:
        """Ask once under some key; the code, None: no authentic answer."""
        identity = self._stores[HOST].identity
        moment = Moment(stan=f"{time.monotonic_ns() // 1000 % 1_000_000:06d}", transmitted_at=now())
        message = requests.inquiry(identity, moment, meter_number=meter_number, trial_centavos=None)
        outcome = self._client(1).run(Dialogue(message, signer, speech=speech_of("recargas", now), attempts_max=1))
        return outcome.code if isinstance(outcome, Final) else None

    def _client(self, seconds: float) -> PosClient:
        address = self._system.network_address(NETWORK)
        return PosClient(address, timers=Timers(answer_seconds=seconds), monotonic=time.monotonic, sleep=time.sleep)


class Selling:
    """One terminal that sells without end, and repeats what has no answer, each time with the key of the moment."""

    def __init__(self, network: Network, meter_number: str) -> None:
        self._network = network
        self._meter_number = meter_number
        self._end = threading.Event()
        self.codes: list[str] = []
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Selling":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(120)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        is_open = False
        while is_open or not self._end.is_set():
            till = self._network.till(SELLER)
            try:
                outcome = till.sell(meter_number=self._meter_number, paid_centavos=PAID)
            except ExchangeOpen:
                outcome = till.repeat_last().outcome
            is_open = not isinstance(outcome, Final)
            if isinstance(outcome, Final):
                self.codes.append(outcome.code)

    def wait_for_more(self) -> None:
        """Return when something more was sold."""
        before, deadline = len(self.codes), time.monotonic() + 60
        while len(self.codes) <= before:
            assert time.monotonic() < deadline, self.codes
            time.sleep(0.05)


def test_a_network_changes_its_key_while_it_sells_and_everything_dies_in_between(
    system: RunningSystem, books: Books, monitor: Monitor
) -> None:
    """Both directions, a killed switch and a killed module; the old key for the overlap and no longer; its age in the metrics; exact books."""
    network = Network(system)
    with context.engine().connect() as connection:
        selling_on, asking_for = connection.execute(
            text("SELECT meter_number FROM meter WHERE status = 'active' AND service = 1 ORDER BY id LIMIT 2")
        ).scalars()
    first = network.keys.signer
    with Selling(network, selling_on) as selling:
        selling.wait_for_more()
        network.change(is_given=False)
        selling.wait_for_more()
        assert network.ask(asking_for, first) == "00", "the key before, within the overlap"
        second = network.keys.signer
        network.change(is_given=True)
        system.switch.kill()
        system.restart_switch()
        selling.wait_for_more()
        changed_at = time.monotonic()
        host, port = system.module_address
        system.security_module.kill()
        system.security_module = context.start_security_module(f"{host}:{port}")
        selling.wait_for_more()
        network.change(is_given=False)
        selling.wait_for_more()
        time.sleep(max(0.0, changed_at + OVERLAP_SECONDS + 1 - time.monotonic()))
        for old in (first, second):
            for _ in range(2):  # whichever process takes the link
                assert network.ask(asking_for, old) is None
        assert network.ask(asking_for, network.keys.signer) == "00"
    keys = network.keys.keys
    assert keys.generation == 3
    assert set(selling.codes) == {"00"}
    assert (keys.generation, keys.kcv) == (
        books.value("SELECT generation FROM session_key WHERE state = 'in_force'"),
        books.value("SELECT kcv FROM session_key WHERE state = 'in_force'"),
    )
    sold = books.value("SELECT count(*) FROM sale WHERE acquirer_code = 'recargas' AND state = 'posted'")
    assert sold == len(selling.codes)
    assert 0 < monitor.sample("eudora_session_key_age_seconds", acquirer=NETWORK) < 120
    assert books.differences() == []


@pytest.mark.parametrize("network", DEVICES)
def test_a_terminal_with_a_key_for_each_message_sells_repeats_and_is_not_another(
    system: RunningSystem, books: Books, network: str
) -> None:
    """TDES in 1987 and AES in 1993: a sale, its repeat with another counter (the same PIN), the last answer, a reversal; a strange counter is no answer."""
    dialect, scheme, register, terminal_id, ksn = DEVICES[network]
    initial_key = export_initial_key(context.module_keys(), register, ksn)
    path = system.home / f"{terminal_id}.json"
    device = DukptSigner.create(path, initial_key, ksn)
    identity = TerminalIdentity(
        terminal_id=terminal_id,
        merchant_id="TIENDA000000001",
        nii="001",
        mac_scheme=scheme,
        mac_key=initial_key,
    )
    address = system.network_address(network)

    def till(signer: DukptSigner, seconds: float = 5) -> Till:
        store = TerminalStore.open(system.home / "tills", terminal_id)
        client = PosClient(
            address, timers=Timers(answer_seconds=seconds), monotonic=time.monotonic, sleep=lambda _: None
        )
        return Till(store, client, now=now, speech=speech_of(dialect, now), device=signer)

    TerminalStore.create(system.home / "tills", identity)
    meter = books.meter("status = 'active' AND service = 1")
    sold = till(device).sell(meter_number=meter, paid_centavos=PAID)
    assert isinstance(sold, Final)
    assert sold.is_approved
    again = till(DukptSigner.open(path)).repeat_last().outcome
    assert isinstance(again, Final)
    assert again.answer.text(62) == sold.answer.text(62)
    reversed_ = till(DukptSigner.open(path)).reverse_last().outcome
    assert isinstance(reversed_, Final)
    assert counter_of(DukptSigner.open(path).ksn) >= 3
    other = bytes((ksn[0] ^ 1,)) + ksn[1:]
    stranger_key = export_initial_key(context.module_keys(), register, other)
    stranger = DukptSigner.create(system.home / f"{network}.json", stranger_key, other)
    assert not isinstance(till(stranger, 0.3).inquire(meter_number=meter), Final)
    assert books.differences() == []


@pytest.mark.parametrize("network", DEVICES)
def test_eudora_pos_is_a_terminal_with_a_key_for_each_message(
    system: RunningSystem, books: Books, monkeypatch: pytest.MonkeyPatch, network: str
) -> None:
    """The command sells, shows the ticket again and reverses, also on a terminal whose memory is older than its network's DUKPT."""
    dialect, scheme, _, terminal_id, ksn = DEVICES[network]
    for name, value in system.environment.items():
        monkeypatch.setenv(name, value)
    context.settings.cache_clear()
    old = TerminalIdentity(
        terminal_id=terminal_id, merchant_id="TIENDA000000001", nii="001", mac_scheme=scheme, mac_key=Secret(bytes(16))
    )
    TerminalStore.create(system.home / "pos", old)
    try:
        address = ":".join(map(str, system.network_address(network)))
        options = ("--dialect", dialect, "--terminal", terminal_id, "--address", address)
        meter = books.meter("status = 'active' AND service = 1 AND held_by IS NULL")
        for words, status in (
            (("echo",), 0),
            (("sell", "--meter", meter, "--amount", "20000"), 0),
            (("last",), 0),
            (("reverse",), 1),
        ):
            done = CliRunner().invoke(main, ["pos", *words, *options])
            assert done.exit_code == status, (words, done.output, done.exception)
    finally:
        context.settings.cache_clear()
    device = DukptSigner.open(system.home / "pos" / f"{terminal_id}.dukpt.json")
    assert counter_of(device.ksn) >= counter_of(ksn) + 3
    assert books.differences() == []


def test_a_network_is_played_under_its_session_key_and_one_with_dukpt_is_refused(
    system: RunningSystem, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`eudora network run` sells under the key that the network has now; for a key with each message it says what does."""
    for name, value in system.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("EUDORA_DATABASE__DSN", context.database_dsn())
    pos = system.home / "pos"
    pos.mkdir(exist_ok=True)
    Network.copy_keys(system, pos / f"{NETWORK}.session-keys.json")
    host, port = system.network_address(NETWORK)
    words = (
        "network",
        "run",
        NETWORK,
        "--address",
        f"{host}:{port}",
        "--json",
        "--seed",
        "3",
        "--rate",
        "10",
        "--seconds",
        "2",
    )
    played = subprocess.run(
        [sys.executable, "-m", "cli.main", *words, "--terminals", "4"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert played.returncode == 0, played.stdout + played.stderr
    assert json.loads(played.stdout.splitlines()[-1])["pins"] > 5
    refused = eudora("network", "run", "loteria", "--seconds", "1")
    assert (refused.exit_code, "DUKPT" in refused.output) == (1, True), refused.output
    assert books.differences() == []
