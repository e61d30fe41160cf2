"""Counters, gauges and histograms of a switch process, in one object with a registry of its own.

A labelled child costs four times as much to look up as to use, so everything on the path of a message is looked up once and kept:
`Metrics.acquirer` returns the children of one network.
"""

from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from switch.connection import CloseReason
from switch.stage_seconds import StageHistogram, StageSeconds
from vending.response_code import ResponseCode

STAGES: Final = ("decode", "verify_mac", "reserve", "mint", "sign", "post", "whole")
"""The steps of one sale, as the latency histogram names them; ``whole`` is from the last octet of the request to the answer."""

_BATCH = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)

MTIS: Final = frozenset(
    [
        "0100",
        "0200",
        "0201",
        "0220",
        "0221",
        "0320",
        "0321",
        "0400",
        "0401",
        "0420",
        "0421",
        "0500",
        "0501",
        "0520",
        "0521",
        "0800",
        "0801",
        "1100",
        "1200",
        "1201",
        "1220",
        "1221",
        "1400",
        "1401",
        "1420",
        "1421",
        "1500",
        "1501",
        "1520",
        "1521",
        "1804",
        "1805",
    ]
)
"""Message types that get a label of their own; the peer chooses the digits, and labels must not be his to invent."""

MTI_OTHER: Final = "other"


class AcquirerMetrics:
    """The children of one network, looked up when first used and kept."""

    def __init__(self, parent: "Metrics", acquirer_id: str) -> None:
        self._parent = parent
        self._id = acquirer_id
        self._requests: dict[tuple[str, ResponseCode], Counter] = {}
        self._refusals: dict[str, Counter] = {}
        self._closed: dict[CloseReason, Counter] = {}
        self.stage_seconds: dict[str, StageHistogram] = {
            stage: parent.stage_seconds.labels(acquirer_id, stage) for stage in STAGES
        }
        self.connections = parent.connections.labels(acquirer_id)
        self.connections_opened = parent.connections_opened.labels(acquirer_id)
        self.in_flight = parent.in_flight.labels(acquirer_id)
        self.fruitless_pauses = parent.fruitless_pauses.labels(acquirer_id)
        self.verifications_waited = parent.verifications_waited.labels(acquirer_id)
        self.keep_alives_answered = parent.keep_alives.labels(acquirer_id, "answered")
        self.keep_alives_ignored = parent.keep_alives.labels(acquirer_id, "ignored")
        self.frames_dropped = parent.frames_dropped.labels(acquirer_id)
        self.serve_failures = parent.serve_failures.labels(acquirer_id)
        self.replays_answered = parent.replays_answered.labels(acquirer_id)
        self.reprints = parent.reprints.labels(acquirer_id)
        self.first_copies_forgotten = parent.first_copies_forgotten.labels(acquirer_id)
        self.unknown_outcomes = parent.unknown_outcomes.labels(acquirer_id)
        self.late_answers = parent.late_answers.labels(acquirer_id)
        self.session_key_changes = parent.session_key_changes.labels(acquirer_id)
        self.macs_under_old_key = parent.macs_under_old_key.labels(acquirer_id)
        self.parked_sales = parent.parked_sales.labels(acquirer_id)
        self.parked_centavos = parent.parked_centavos.labels(acquirer_id)
        self.parking_cap_refusals = parent.parking_cap_refusals.labels(acquirer_id)
        self.last_request = parent.last_request_timestamp.labels(acquirer_id)
        self.last_approval = parent.last_approval_timestamp.labels(acquirer_id)
        self.last_request_at: float | None = None
        self.last_approval_at: float | None = None

    def request(self, mti: str, code: ResponseCode) -> None:
        """Count one answered request by what it was and what it got."""
        child = self._requests.get((mti, code))
        if child is None:
            label = mti if mti in MTIS else MTI_OTHER
            child = self._parent.requests.labels(self._id, label, code.value)
            if label is not MTI_OTHER:
                self._requests[mti, code] = child
        child.inc()

    def seen(self, moment: float, *, is_approved: bool) -> None:
        """Note when a request was answered, Unix time."""
        self.last_request.set(moment)
        self.last_request_at = moment
        if is_approved:
            self.last_approval.set(moment)
            self.last_approval_at = moment

    def watch_key_age(self, age_seconds: Callable[[], float]) -> None:
        """Show how long the network's session key is in force."""
        self._parent.session_key_age_seconds.labels(self._id).set_function(age_seconds)

    def refuse_frame(self, reason: str) -> None:
        """Count a frame that could not be read: *reason* is one of ours (tpdu, mti, bitmap, field_<n>), never the peer's text."""
        child = self._refusals.get(reason)
        if child is None:
            child = self._refusals[reason] = self._parent.frames_refused.labels(self._id, reason)
        child.inc()

    def closed(self, reason: CloseReason) -> None:
        """Count a connection that ended."""
        child = self._closed.get(reason)
        if child is None:
            child = self._closed[reason] = self._parent.connections_closed.labels(self._id, reason.value)
        child.inc()

    def leave_out(self, stage: str) -> None:
        """Count a stage that did not begin because its answer would have come too late."""
        self._parent.stages_left_out.labels(self._id, stage).inc()

    def refuse_connection(self, reason: str) -> None:
        """Count a connection that was closed at once: *reason* names the limit."""
        self._parent.connections_refused.labels(self._id, reason).inc()

    def link_moved(self, before: str | None, after: str | None) -> None:
        """Count a link that left one state for another; None: it is new, or gone."""
        for state, step in ((before, -1), (after, 1)):
            if state is not None:
                self._parent.network_links.labels(self._id, state).inc(step)

    def link_failed(self, reason: str) -> None:
        """Count a link that failed; *reason* is one of ours."""
        self._parent.network_links_failed.labels(self._id, reason).inc()

    def notice_tried(self, mti: str, outcome: str, code: str) -> None:
        """Count what a notice came to, or a late answer; all three are ours to choose."""
        self._parent.saf_tries.labels(self._id, mti, outcome, code).inc()

    def host_answered(self, *, is_paired: bool) -> None:
        """Count an answer of a host: to a question that waits, or late."""
        self._parent.host_answers.labels(self._id, "paired" if is_paired else "late").inc()

    def undeliverable(self, reason: str) -> None:
        """Count an answer that was ready and did not leave; *reason* is one of ours."""
        self._parent.answers_undeliverable.labels(self._id, reason).inc()

    def reconciled(self, *, is_equal: bool) -> None:
        """Count one comparison of totals."""
        self._parent.reconciliations.labels(self._id, "equal" if is_equal else "differs").inc()

    def took(self, stage: str, seconds: float) -> None:
        """Record how long one of `STAGES` took."""
        self.stage_seconds[stage].observe(seconds)


class Metrics:
    """All metrics of one process.

    Attributes named like a metric are the metric itself; those with labels that the path of a message uses are reached through
    `acquirer`.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry(auto_describe=True)
        self._acquirers: dict[str, AcquirerMetrics] = {}
        self._add_requests()
        self._add_connections()
        self._add_sales()
        self._add_notices()

    def _counter(self, name: str, text: str, labels: Iterable[str] = ()) -> Counter:
        return Counter(f"eudora_{name}", text, tuple(labels), registry=self.registry)

    def _gauge(self, name: str, text: str, labels: Iterable[str] = ()) -> Gauge:
        return Gauge(f"eudora_{name}", text, tuple(labels), registry=self.registry)

    def _histogram(self, name: str, text: str, labels: Iterable[str], buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"eudora_{name}", text, tuple(labels), registry=self.registry, buckets=buckets)

    def _add_requests(self) -> None:
        acquirer = ("acquirer",)
        self.requests = self._counter(
            "requests", "Requests answered, by message type and response code.", ("acquirer", "mti", "code")
        )
        self.frames_refused = self._counter(
            "frames_refused",
            "Frames that could not be read as a message, by the first thing wrong.",
            ("acquirer", "reason"),
        )
        self.stage_seconds = StageSeconds()
        self.registry.register(self.stage_seconds)
        self.in_flight = self._gauge("in_flight", "Requests in work.", acquirer)
        self.replays_answered = self._counter(
            "replays_answered", "Repeats answered with the stored first answer.", acquirer
        )
        self.reprints = self._counter(
            "reprints", "Tickets of sales handed out again on a last-answer inquiry.", acquirer
        )
        self.first_copies_forgotten = self._counter(
            "first_copies_forgotten", "Requests forgotten before a late copy of them could be told apart.", acquirer
        )
        self.session_key_age_seconds = self._gauge(
            "session_key_age_seconds",
            "How long a network's session key is in force; 0: it is the register's own.",
            acquirer,
        )
        self.session_key_changes = self._counter(
            "session_key_changes", "Session keys that came into force, in this process.", acquirer
        )
        self.macs_under_old_key = self._counter(
            "macs_under_old_key", "Messages that were right under a session key whose overlap was not over.", acquirer
        )
        self.configurations = self._counter(
            "configurations", "Attempts to apply a changed configuration, by outcome.", ("outcome",)
        )
        self.serve_failures = self._counter(
            "serve_failures", "Requests that ended in a fault of ours, without an answer.", acquirer
        )
        self.last_request_timestamp = self._gauge(
            "last_request_timestamp_seconds", "When the last request came, Unix time.", acquirer
        )
        self.last_approval_timestamp = self._gauge(
            "last_approval_timestamp_seconds", "When the last request was approved, Unix time.", acquirer
        )

    def _add_connections(self) -> None:
        acquirer = ("acquirer",)
        self.connections = self._gauge("connections", "Connections that are open.", acquirer)
        self.connections_opened = self._counter("connections_opened", "Connections that were accepted.", acquirer)
        self.connections_refused = self._counter(
            "connections_refused",
            "Connections closed at once, by the limit that was reached.",
            ("acquirer", "reason"),
        )
        self.fruitless_pauses = self._counter(
            "fruitless_pauses",
            "Times that a connection, or the port, had to wait because work that leads nowhere had used up the network's share.",
            acquirer,
        )
        self.verifications_waited = self._counter(
            "verifications_waited",
            "Requests whose MAC waited for its network's turn at the security module.",
            acquirer,
        )
        self.connections_closed = self._counter(
            "connections_closed", "Connections that ended, by reason.", ("acquirer", "reason")
        )
        self.keep_alives = self._counter(
            "keep_alives", "Frames of length zero, by what was done.", ("acquirer", "outcome")
        )
        self.frames_dropped = self._counter(
            "frames_dropped", "Whole frames never served because their connection ended first.", acquirer
        )
        self.network_links = self._gauge(
            "network_links", "Links that we open to a network's hosts, by state.", ("acquirer", "state")
        )
        self.network_links_failed = self._counter(
            "network_links_failed",
            "Links to a network's hosts that failed, by what went wrong.",
            ("acquirer", "reason"),
        )
        self.host_answers = self._counter(
            "host_answers",
            "Answers of networks' hosts to what we asked: in time, or late or unknown.",
            ("acquirer", "outcome"),
        )
        self.answers_undeliverable = self._counter(
            "answers_undeliverable",
            "Answers ready that did not leave, by what became of their connection.",
            ("acquirer", "reason"),
        )
        self.undelivered_lost = self._counter(
            "undelivered_lost", "Undeliverable answers that could not be written down, by why.", ("reason",)
        )

    def _add_sales(self) -> None:
        acquirer = ("acquirer",)
        self.unknown_outcomes = self._counter(
            "unknown_outcomes", "Sales whose outcome was not known at their deadline.", ("acquirer",)
        )
        self.late_answers = self._counter(
            "late_answers",
            "Answers that were ready after the caller had been told 'in progress'; his repeat gets them.",
            acquirer,
        )
        self.stages_left_out = self._counter(
            "stages_left_out",
            "Stages of a request that did not begin because its answer would have come too late.",
            ("acquirer", "stage"),
        )
        self.parked_sales = self._counter(
            "parked_sales", "Sales that a reversal parked: money back, token kept for the next recharge.", ("acquirer",)
        )
        self.parked_centavos = self._counter("parked_centavos", "Their money.", ("acquirer",))
        self.parking_cap_refusals = self._counter(
            "parking_cap_refusals", "Reversals that stand because a cap on parking was reached.", ("acquirer",)
        )
        self.batch_sales = self._histogram("batch_sales", "Items done by one set-based step.", ("step",), _BATCH)
        self.batch_late_items = self._counter(
            "batch_late_items", "Items that no batch took before their deadline; nothing was written.", ("step",)
        )
        self.batch_queue = self._gauge("batch_queue", "Items waiting for a step.", ("step",))
        self.reconciliations = self._counter(
            "reconciliations", "Totals that were compared with the books, by result.", ("acquirer", "result")
        )
        self.cut_over_lag_seconds = self._gauge(
            "cut_over_lag_seconds", "How long ago the oldest settlement day ended whose totals are not written yet."
        )
        self.float_available_centavos = self._gauge(
            "float_available_centavos", "What a network may still sell, at the last look.", ("acquirer",)
        )
        self.float_is_low = self._gauge(
            "float_is_low", "1 while a network's float is below its warning level.", ("acquirer",)
        )
        self.settlement_files_failed = self._gauge(
            "settlement_files_failed", "Networks whose settlement file could not be written at the last look."
        )
        self.resolved = self._counter("resolved", "Sales finished by the resolver, by outcome.", ("outcome",))
        self.unresolved = self._gauge("unresolved", "Sales without a known outcome at the resolver's last look.")
        self.unresolved_oldest_seconds = self._gauge(
            "unresolved_oldest_seconds", "Age of the oldest sale without a known outcome at the resolver's last look."
        )
        self.module_link_up = self._gauge(
            "module_link_up", "Whether a security module answers on this address: 1 or 0.", ("endpoint",)
        )
        self.module_requests = self._counter(
            "module_requests", "Requests to the security modules, by command and outcome.", ("command", "outcome")
        )
        self.log_lines_lost = self._gauge("log_lines_lost", "Log lines that could not be written since the start.")

    def _add_notices(self) -> None:
        acquirer = ("acquirer",)
        self.saf_depth = self._gauge(
            "saf_depth", "Notices that a network has not taken yet, at the last look.", acquirer
        )
        self.saf_oldest_seconds = self._gauge(
            "saf_oldest_seconds", "Age of the oldest of them; 0: there is none.", acquirer
        )
        self.saf_dead_letters = self._gauge(
            "saf_dead_letters", "Notices that nobody sends until a person decides, at the last look.", acquirer
        )
        self.saf_tries = self._counter(
            "saf_tries",
            "Tries to send a notice by message type (...1: a repeat), what they came to and the code of the answer; and answers that came late.",
            ("acquirer", "mti", "outcome", "code"),
        )
        self.saf_died = self._counter("saf_died", "Notices that became dead letters, by why.", ("acquirer", "reason"))

    def acquirer(self, acquirer_id: str) -> AcquirerMetrics:
        """Return the children of one network; ids come from the configuration, so there are few."""
        found = self._acquirers.get(acquirer_id)
        if found is None:
            found = self._acquirers[acquirer_id] = AcquirerMetrics(self, acquirer_id)
        return found
