import json
from collections.abc import Callable, Mapping

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs
from twisted.python.failure import Failure

from switch.connection import CloseReason
from switch.http_port import monitoring_site
from switch.metrics import MTI_OTHER, MTIS, STAGES, Metrics
from vending.response_code import ResponseCode


def _value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"eudora_{name}", labels)


def test_two_processes_worth_of_metrics_live_beside_each_other() -> None:
    """Each object has a registry of its own, so tests and processes do not share counts."""
    one, two = Metrics(), Metrics()
    one.acquirer("a").connections.inc()
    assert _value(one, "connections", acquirer="a") == 1
    assert _value(two, "connections", acquirer="a") is None


def test_a_given_registry_is_used() -> None:
    """A process may add its own."""
    registry = CollectorRegistry()
    assert Metrics(registry).registry is registry


def test_requests_are_counted_by_network_message_type_and_code() -> None:
    """The approval rate by network can be read off."""
    metrics = Metrics()
    bank = metrics.acquirer("bank")
    assert metrics.acquirer("bank") is bank
    for code in (ResponseCode.APPROVED, ResponseCode.APPROVED, ResponseCode.FLOAT_SHORT):
        bank.request("0200", code)
    assert _value(metrics, "requests_total", acquirer="bank", mti="0200", code="approved") == 2
    assert _value(metrics, "requests_total", acquirer="bank", mti="0200", code="float_short") == 1


def test_a_peer_cannot_make_labels_of_its_own() -> None:
    """Ten thousand invented message types are one series."""
    metrics = Metrics()
    bank = metrics.acquirer("bank")
    for number in range(10_000):
        bank.request(f"{number:04d}", ResponseCode.UNSUPPORTED_MESSAGE)
    series = [sample for family in metrics.registry.collect() for sample in family.samples]
    assert sum(sample.name == "eudora_requests_total" for sample in series) <= len(MTIS) + 1
    assert (_value(metrics, "requests_total", acquirer="bank", mti=MTI_OTHER, code="unsupported_message") or 0) > 9_900
    assert len(bank._requests) <= len(MTIS)


def test_every_stage_has_a_histogram() -> None:
    """Our own time is told apart from the module's and the ledger's."""
    metrics = Metrics()
    for stage in STAGES:
        metrics.acquirer("bank").took(stage, 0.004)
        assert _value(metrics, "stage_seconds_bucket", acquirer="bank", stage=stage, le="0.005") == 1
        assert _value(metrics, "stage_seconds_bucket", acquirer="bank", stage=stage, le="0.0025") == 0
    with pytest.raises(KeyError):
        metrics.acquirer("bank").took("lunch", 1.0)


def test_ends_and_refused_frames_are_counted_by_reason() -> None:
    """Who knocked and what could not be read shows by name."""
    metrics = Metrics()
    bank = metrics.acquirer("bank")
    for reason in CloseReason:
        bank.closed(reason)
        bank.closed(reason)
        assert _value(metrics, "connections_closed_total", acquirer="bank", reason=reason.value) == 2
    bank.refuse_frame("tpdu")
    bank.refuse_frame("tpdu")
    assert _value(metrics, "frames_refused_total", acquirer="bank", reason="tpdu") == 2


class _Browser:
    """Asks the site over a wire in memory."""

    def __init__(
        self,
        health: Mapping[str, object] | None = None,
        in_thread: Callable[[Callable[[], bytes]], Deferred[bytes]] | None = None,
    ) -> None:
        self.metrics = Metrics()
        self.clock = Clock()
        self.site = monitoring_site(
            registry=self.metrics.registry,
            health=lambda: health or {"status": "ready"},
            in_thread=in_thread or (lambda work: succeed(work())),
            clock=self.clock,
        )
        self.wire = StringTransport()

    def get(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body."""
        self.send(path)
        return self.read()

    def send(self, path: str) -> None:
        """Ask."""
        self.site.startFactory()
        channel = self.site.buildProtocol(None)
        assert channel is not None
        self.channel = channel
        channel.makeConnection(self.wire)
        channel.dataReceived(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        self.site.stopFactory()

    def read(self) -> tuple[int, dict[str, str], bytes]:
        """Take the answer apart."""
        head, _, body = self.wire.value().partition(b"\r\n\r\n")
        first, *rest = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest)}
        if headers.get("transfer-encoding") == "chunked":
            chunks, body = body, b""
            while chunks:
                size, _, chunks = chunks.partition(b"\r\n")
                body, chunks = body + chunks[: int(size, 16)], chunks[int(size, 16) + 2 :]
        return int(first.split()[1]), headers, body


def test_prometheus_reads_what_is_counted() -> None:
    """The text parses and holds the counts."""
    browser = _Browser()
    browser.metrics.acquirer("bank").request("0200", ResponseCode.APPROVED)
    status, headers, body = browser.get("/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain")
    families = {family.name: family for family in text_string_to_metric_families(body.decode())}
    assert [sample.value for sample in families["eudora_requests"].samples if sample.name.endswith("_total")] == [1.0]


def test_every_metric_explains_itself() -> None:
    """An operator reads what a metric means at its source."""
    text = _Browser().get("/metrics")[2].decode()
    families = list(text_string_to_metric_families(text))
    assert len(families) > 20
    assert all(family.documentation.endswith(".") for family in families)


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ({"status": "ready", "in_flight": 3}, 200),
        ({"status": "draining"}, 503),
        ({"status": "ledger_lost"}, 503),
        ({"a": 1}, 503),
    ],
)
def test_health_tells_a_balancer_and_a_person(state: dict[str, object], status: int) -> None:
    """Only ready is 200; the reasons are JSON."""
    answered, headers, body = _Browser(state).get("/health")
    assert answered == status
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == state


def test_anything_else_is_not_found() -> None:
    """The port serves two pages."""
    assert _Browser().get("/")[0] == 404
    assert _Browser().get("/health2")[0] == 404


def test_a_scraper_that_left_gets_nothing_and_breaks_nothing() -> None:
    """The text may be ready after the connection is gone."""
    waiting: list[Deferred[bytes]] = []

    def in_thread(_: Callable[[], bytes]) -> Deferred[bytes]:
        waiting.append(Deferred())
        return waiting[-1]

    browser = _Browser(in_thread=in_thread)
    browser.send("/metrics")
    browser.channel.connectionLost(Failure(ConnectionLost()))
    waiting[0].callback(b"late")
    assert browser.wire.value() == b""


def test_a_scrape_that_fails_is_answered_and_logged() -> None:
    """A fault while writing the text is a 500 and not a hanging request."""
    browser = _Browser(in_thread=lambda _: fail(RuntimeError("no")))
    with capturedLogs() as logged:
        assert browser.get("/metrics")[0] == 500
    assert [event["log_format"] for event in logged if "log_failure" in event] == ["metrics could not be written"]
