"""Reading the configuration again: a bad one changes nothing, and what needs a restart is said."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs
from twisted.internet.defer import Deferred, succeed

from config.errors import Complaint
from config.settings import Settings, load
from switch.log import Event
from switch.networks import CannotApply
from switch.reconfigure import Read, Reconfigurer

NOW = datetime(2026, 11, 23, 16, 30, tzinfo=UTC)
FILE = "[acquirers.x]\nlisten_port = 0\nmac.register_id = 1\n"


class FakeNetworks:
    """Takes what it is given, unless told to refuse."""

    def __init__(self) -> None:
        self.applied: list[Any] = []
        self.refuses: list[Complaint] = []
        self.keeps: list[Complaint] = []
        self.order: list[str] = []

    async def prepare(self, sections: Any) -> None:
        """Note it."""
        self.order.append(f"prepare {', '.join(sections)}")

    def settle(self) -> None:
        """Note it."""
        self.order.append("settle")

    def apply(self, sections: Any, contexts: Any) -> list[Complaint]:
        """Note them."""
        assert contexts == {}
        self.order.append("apply")
        if self.refuses:
            raise CannotApply(self.refuses)
        self.applied.append(sections)
        return self.keeps


class Bench:
    """A reconfigurer over a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.write(FILE)
        self.networks = FakeNetworks()
        self.counted: list[bool] = []
        self.threads: list[Callable[[], None]] = []
        self.is_slow = False
        self.subject = Reconfigurer(
            self.networks,  # type: ignore[arg-type]
            running=self.read(),
            read=self.read,
            in_thread=self._in_thread,
            now=lambda: NOW,
            count=self.counted.append,
        )

    def read(self) -> Settings:
        """The file as it is."""
        return load(self.path)

    def write(self, text: str) -> None:
        """Change it."""
        self.path.write_text(text, encoding="utf-8")

    def _in_thread(self, work: Callable[[], Read]) -> Deferred[Read]:
        if not self.is_slow:
            return succeed(None).addCallback(lambda _: work())
        result: Deferred[Read] = Deferred()
        self.threads.append(lambda: result.callback(work()))
        return result


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("EUDORA_HOME", str(tmp_path))
    return Bench(tmp_path / "eudora.toml")


@pytest.fixture(autouse=True)
def lines() -> Iterator[list[Any]]:
    structlog.reset_defaults()
    with capture_logs() as captured:
        yield captured


def test_a_changed_file_is_applied(bench: Bench, lines: list[Any]) -> None:
    """The new sections reach the networks; attempt, time and outcome can be read."""
    assert bench.subject.last.attempt == 0
    bench.write(FILE + "in_flight_max = 77\n")
    bench.subject.ask()
    assert bench.networks.applied[0]["x"].in_flight_max == 77
    assert bench.subject.last.as_json() == {
        "attempt": 1,
        "at": NOW.isoformat(),
        "is_applied": True,
        "complaints": [],
        "needs_restart": [],
    }
    assert bench.counted == [True]
    assert [line["event"] for line in lines] == [Event.CONFIGURATION_APPLIED]


@pytest.mark.parametrize(
    ("text", "said"),
    [("[acquirers.x]\nlisten_port = 'a'\nmac.register_id = 1\n", "acquirers.x.listen_port"), ("[", "is not TOML")],
)
def test_a_bad_file_changes_nothing_and_is_told_with_its_key(
    bench: Bench, lines: list[Any], text: str, said: str
) -> None:
    """The next good one is taken."""
    bench.write(text)
    bench.subject.ask()
    assert bench.networks.applied == []
    assert not bench.subject.last.is_applied
    assert said in str(bench.subject.last.complaints[0])
    assert (lines[0]["event"], said in lines[0]["complaints"][0]) == (Event.CONFIGURATION_REFUSED, True)
    bench.write(FILE)
    bench.subject.ask()
    assert (bench.subject.last.attempt, bench.subject.last.is_applied) == (2, True)
    assert bench.counted == [False, True]


def test_what_the_networks_refuse_is_told(bench: Bench) -> None:
    """A port that is taken, for example."""
    bench.networks.refuses = [Complaint(key="acquirers.x.listen_port", text="cannot be opened")]
    bench.subject.ask()
    assert bench.subject.last.complaints == tuple(bench.networks.refuses)
    # The supervisor hears which sockets are served now, whatever came of it.
    assert bench.networks.order == ["prepare x", "apply", "settle"]


def test_certificates_that_cannot_be_used_are_told_before_anything_is_changed(bench: Bench) -> None:
    """They are read before the networks are touched."""
    bench.write(FILE + "[acquirers.x.tls]\ncertificate_file = 'no.pem'\nkey_file = 'no.key'\n")
    bench.subject.ask()
    assert bench.networks.applied == []
    assert bench.subject.last.complaints[0].key == "acquirers.x.tls"


def test_what_needs_a_restart_is_listed_and_the_rest_is_applied(bench: Bench) -> None:
    """The database, the module and the process itself; a secret is compared and not shown."""
    bench.networks.keeps = [Complaint(key="acquirers.x.framing", text="needs a restart")]
    bench.write(FILE + "[database]\ndsn = 'postgresql://a:hunter2@b/c'\n[switch]\nqueue_sales_max = 5\n")
    bench.subject.ask()
    assert [each.key for each in bench.subject.last.kept] == [
        "database.dsn",
        "switch.queue_sales_max",
        "acquirers.x.framing",
    ]
    assert len(bench.networks.applied) == 1
    assert "hunter2" not in str(bench.subject.last.as_json())


def test_a_fault_of_ours_leaves_the_old_configuration(bench: Bench, lines: list[Any]) -> None:
    """Whatever goes wrong, the process goes on and says where to look."""
    bench.networks.refuses = 7  # type: ignore[assignment]
    bench.subject.ask()
    assert not bench.subject.last.is_applied
    assert "log" in bench.subject.last.complaints[0].text
    assert "Traceback" in lines[0]["failure"]


def test_asked_during_an_attempt_another_one_follows(bench: Bench) -> None:
    """Ten signals in a row are two attempts, the last of which reads the file as it is then."""
    bench.is_slow = True
    for _ in range(10):
        bench.subject.ask()
    bench.write(FILE + "in_flight_max = 99\n")
    assert len(bench.threads) == 1
    bench.threads[0]()
    assert len(bench.threads) == 2
    bench.threads[1]()
    assert len(bench.threads) == 2
    assert bench.networks.applied[-1]["x"].in_flight_max == 99
    assert bench.subject.last.attempt == 2
