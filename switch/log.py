"""What the switch writes down: one JSON object per line, event names from one list, secrets never.

Two things stand between a PIN and a log line: `vending.secret.Secret` renders as a mask wherever it appears, and, should digits have
left it, any run of 20 digits in any text is masked before the line is written.

A line costs about as much processor time as decoding and encoding a message, so the pipeline is short and a level that is off costs
next to nothing.
"""

import json
import re
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from logging import DEBUG, ERROR, INFO, WARNING, getLevelNamesMapping
from pathlib import Path
from typing import Any, Final, Protocol

import structlog
from structlog.typing import Processor
from twisted.internet.interfaces import IReactorTime
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogBeginner
from zope.interface import implementer

from vending.response_code import ResponseCode
from vending.secret import Secret


class Event(Enum):
    """Every event that the switch logs, named by what happened; a name once used keeps its meaning."""

    SWITCH_STARTED = "switch.started"
    SWITCH_START_FAILED = "switch.start_failed"
    SWITCH_DRAINING = "switch.drain_started"
    SWITCH_STOPPED = "switch.stopped"
    PROCESS_STARTED = "process.started"
    PROCESS_LOST = "process.lost"
    PROCESSES_STOPPED = "processes.stopped"
    RUN_FILE_LOST = "run_file.lost"
    RESTART_STARTED = "restart.started"
    RESTART_ENDED = "restart.ended"
    RESTART_HALTED = "restart.halted"
    CONFIGURATION_APPLIED = "configuration.applied"
    CONFIGURATION_REFUSED = "configuration.refused"
    NETWORK_DRAINING = "network.drain_started"
    NETWORK_DRAINED = "network.drained"
    NETWORK_LINK_CHANGED = "network_link.changed"
    NETWORK_LINK_FAILED = "network_link.failed"
    NETWORK_LINK_ANSWER_UNPAIRED = "network_link.answer_unpaired_found"
    PORT_OPENED = "port.opened"
    PORT_CLOSED = "port.closed"
    CONNECTION_OPENED = "connection.opened"
    CONNECTION_CLOSED = "connection.closed"
    CONNECTION_REFUSED = "connection.refused"
    MESSAGE_REFUSED = "message.refused"
    SERVE_FAILED = "serve.failed"
    LINES_SUPPRESSED = "lines.suppressed"
    ANSWER_UNDELIVERABLE = "answer.undeliverable_found"
    UNDELIVERED_LOST = "answer.undelivered_record_lost"
    TERMINAL_SIGNED_ON = "terminal.signed_on"
    ECHO_ANSWERED = "echo.answered"
    TERMINAL_SIGNED_OFF = "terminal.signed_off"
    SALE_COMPLETED = "sale.completed"
    SALE_OUTCOME_UNKNOWN = "sale.outcome_lost"
    SALE_RESOLVED = "sale.resolved"
    INQUIRY_ANSWERED = "inquiry.answered"
    REVERSAL_ANSWERED = "reversal.answered"
    ADVICE_ANSWERED = "advice.answered"
    LAST_ANSWER_TOLD = "last_answer.answered"
    TOTALS_ANSWERED = "totals.answered"
    CUT_OVER_ANSWERED = "cut_over.answered"
    BATCH_ANSWERED = "batch.answered"
    SESSION_KEY_ANSWERED = "session_key.answered"
    SESSION_KEY_OFFERED = "session_key.offered"
    SESSION_KEY_IN_FORCE = "session_key.changed"
    SESSION_KEY_NOT_IN_FORCE = "session_key.change_failed"
    SESSION_KEY_LOOK_FAILED = "session_key.look_failed"
    SESSION_KEY_OLD = "session_key.old_found"
    DAY_CUT_OVER = "day.moved"
    DAY_CLOSED = "day.closed"
    DAY_CLOSE_FAILED = "day.close_failed"
    FLOAT_LOW = "float.low_found"
    FLOAT_RECOVERED = "float.recovered"
    SETTLEMENT_FILE_DELIVERED = "settlement_file.delivered"
    SETTLEMENT_FILE_FAILED = "settlement_file.failed"
    NETWORK_LOOK_FAILED = "network.look_failed"
    NOTICE_TRIED = "notice.tried"
    NOTICE_DIED = "notice.died"
    NOTICE_ANSWER_REFUSED = "notice.answer_refused"
    NOTICE_ROUND_FAILED = "notice.round_failed"
    NOTICE_FAILED = "notice.failed"
    WORKER_LOST = "worker.lost"
    RESOLVER_FAILED = "resolver.failed"
    MODULE_LINK_UP = "module_link.opened"
    MODULE_LINK_DOWN = "module_link.lost"
    PRISM_TOKEN_ISSUED = "prism.token_issued"  # noqa: S105
    PRISM_TID_MOVED = "prism.tid_moved"
    LEDGER_LOST = "ledger.lost"
    TWISTED_LOGGED = "twisted.logged"
    TWISTED_FAILED = "twisted.failed"


class TextStream(Protocol):
    """Where lines go: a file, standard output, a list in a test."""

    def write(self, text: str, /) -> Any:
        """Append *text*."""

    def flush(self) -> None:
        """Hand it to the system."""


MASK: Final = "***"
_PIN = re.compile(r"\d{20,}|\d{4}(?:[ .-]\d{4}){4,}\d*", re.ASCII)
"""Twenty digits or more together, or in the groups of four that tickets print."""
_PIN_DIGITS = 20
_PIN_LEAST = 10 ** (_PIN_DIGITS - 1)
_DEPTH_MAX = 8
"""Deeper values are not written: they would be a mistake, and might contain themselves."""

_bound: ContextVar[Mapping[str, Any]] = ContextVar("eudora_log_bound", default={})  # noqa: B039 - never changed, only replaced


@contextmanager
def bound(**fields: Any) -> Iterator[None]:
    """Put *fields* (stan, rrn, terminal_id, acquirer_id) on every line written inside, also across awaits."""
    token = _bound.set({**_bound.get(), **fields})
    try:
        yield
    finally:
        _bound.reset(token)


def bind(**fields: Any) -> None:
    """As `bound`, until the end of this context: a coroutine that serves one message has one of its own."""
    _bound.set({**_bound.get(), **fields})


def mask_text(text: str) -> str:
    """Replace what could be a PIN."""
    return _PIN.sub(MASK, text) if len(text) >= _PIN_DIGITS else text


def _plain(value: Any, depth: int = 0) -> Any:
    """Return *value* as JSON can hold it, without anything that must not be seen."""
    kind = type(value)
    if kind is str:
        return mask_text(value)
    if value is None or kind is bool or kind is float:
        return value
    if kind is int:
        return value if -_PIN_LEAST < value < _PIN_LEAST else MASK
    if depth >= _DEPTH_MAX:
        return "..."
    return _plain_mapping(value, depth) if kind is dict else _plain_object(value, depth)


def _plain_mapping(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    return {
        key if type(key) is str and len(key) < _PIN_DIGITS else mask_text(str(key)): _plain(item, depth + 1)
        for key, item in value.items()
    }


def _plain_object(value: Any, depth: int) -> Any:
    if isinstance(value, Secret):
        return MASK
    if isinstance(value, Enum):
        return _plain(value.value, depth + 1)
    if isinstance(value, bytes | bytearray | memoryview):
        # Octets may be packed digits of a PIN, so only their number is told.
        return f"<{len(value)} octets>"
    if isinstance(value, Mapping):
        return _plain_mapping(value, depth)
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, str | int | Decimal | Path):
        return mask_text(str(value))
    return mask_text(repr(value))


_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode


def _complete(_: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Put name, level and bound fields in front, and the traceback of an exception in its place."""
    named = event.pop("event")
    whole = {"event": named.value if type(named) is Event else named, "level": method, **_bound.get(), **event}
    return structlog.processors.format_exc_info(_, method, whole) if "exc_info" in whole else whole


def _render(_: Any, __: str, event: MutableMapping[str, Any]) -> str:
    # Short texts and numbers cannot hold a PIN and are what a line mostly consists of.
    for key, value in event.items():
        kind = type(value)
        if kind is str:
            if len(value) >= _PIN_DIGITS:
                event[key] = mask_text(value)
        elif kind is not int or not -_PIN_LEAST < value < _PIN_LEAST:
            event[key] = _plain(value)
    return _encode(event)


class _Lines:
    """Writes whole lines. A full disk costs lines, never a sale, so an error here goes no further than a count."""

    def __init__(self, stream: TextStream) -> None:
        self.stream = stream
        self.lost_count = 0

    def write(self, line: str) -> None:
        try:
            self.stream.write(line + "\n")
            self.stream.flush()
        except (OSError, ValueError):
            self.lost_count += 1

    debug = info = warning = error = critical = exception = msg = write


class _Output:
    """Which lines are in use; one per process, set by `configure`."""

    def __init__(self) -> None:
        self.lines: _Lines | None = None
        self.level = 0
        self.pipeline: Sequence[Processor] = ()
        self.is_bridged = False


_output: Final = _Output()


def configure(stream: TextStream, level: str = "info", *, is_bridging_twisted: bool = True) -> None:
    """Set up logging for this process; calling it again changes stream and level.

    Args:
        stream: takes the lines. A file should be opened line-buffered or larger, UTF-8, for appending.
        level: debug, info, warning or error.
        is_bridging_twisted: also write what Twisted and the packages below log through ``twisted.logger``, unhandled failures of
            Deferreds included.
    """
    _output.lines = lines = _Lines(stream)
    structlog.configure(
        processors=[
            _complete,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getLevelNamesMapping()[level.upper()]),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=False,
    )
    _output.level = getLevelNamesMapping()[level.upper()]
    _output.pipeline = structlog.get_config()["processors"]
    if is_bridging_twisted and not _output.is_bridged:
        _output.is_bridged = True
        globalLogBeginner.beginLoggingTo([TwistedObserver()], redirectStandardIO=False)


def lines_lost() -> int:
    """Return how many lines could not be written since `configure`."""
    return _output.lines.lost_count if _output.lines else 0


class Log:
    """Writes events of the list; keyword arguments become fields."""

    __slots__ = ()

    def debug(self, event: Event, **fields: Any) -> None:
        """Write a line that only a developer wants."""
        _write("debug", DEBUG, event, fields)

    def info(self, event: Event, **fields: Any) -> None:
        """Write a line about something normal."""
        _write("info", INFO, event, fields)

    def warning(self, event: Event, **fields: Any) -> None:
        """Write a line about something that an operator should know when it repeats."""
        _write("warning", WARNING, event, fields)

    def error(self, event: Event, **fields: Any) -> None:
        """Write a line about a fault; ``exc_info`` takes an exception."""
        _write("error", ERROR, event, fields)


def _write(name: str, level: int, event: Event, fields: dict[str, Any]) -> None:
    """Run a line through the pipeline as structlog's own loggers do, which hand the fields on as keywords four times."""
    lines, pipeline = _output.lines, _output.pipeline
    if lines is None or structlog.get_config()["processors"] is not pipeline:
        # Not configured by us, or by somebody else since (a test, another process's root in the same interpreter).
        getattr(structlog.get_logger(), name)(event, **fields)
        return
    if level < _output.level:
        return
    fields["event"] = event
    line: Any = fields
    try:
        for step in pipeline:
            line = step(lines, name, line)
    except structlog.DropEvent:
        return
    lines.write(line)


log: Final = Log()
"""The one logger of this package."""


LINES_PER_SECOND_MAX: Final = 20
"""Of one kind and network. A line costs as much as the refusal that it tells of, and nobody reads a thousand that say the same."""


class LineLimit:
    """Keeps a flood of one network from becoming a flood of lines: of each kind some are written in a second, and then how many were not.

    Args:
        reactor: its time, and what waits for the end of the second.
        acquirer_id: of the network.
    """

    def __init__(self, reactor: IReactorTime, acquirer_id: str) -> None:
        self._reactor = reactor
        self._acquirer_id = acquirer_id
        self._counts: dict[str, int] = {}
        self._until = 0.0

    def admits(self, kind: str) -> bool:
        """Whether a line of this kind is to be written now. Kinds are few, and never the peer's text."""
        now = self._reactor.seconds()
        if now >= self._until:
            self._until = now + 1.0
            self._counts = {}  # a new one: the old one's numbers may not be told yet
        count = self._counts[kind] = self._counts.get(kind, 0) + 1
        if count == LINES_PER_SECOND_MAX + 1:
            self._reactor.callLater(self._until - now, self._tell, kind, self._counts)
        return count <= LINES_PER_SECOND_MAX

    def _tell(self, kind: str, counts: dict[str, int]) -> None:
        suppressed = counts[kind] - LINES_PER_SECOND_MAX
        log.warning(Event.LINES_SUPPRESSED, acquirer_id=self._acquirer_id, kind=kind, count=suppressed)


def sale_completed(
    *,
    acquirer_id: str,
    terminal_id: str,
    stan: str,
    rrn: str,
    mti: str,
    kind: str,
    code: ResponseCode,
    paid_centavos: int,
    units_tenths: int = 0,
    token_count: int = 0,
    meter_number: str = "",
    sale_id: int | None = None,
    is_repeat: bool = False,
    stage_microseconds: Mapping[str, int] | None = None,
) -> None:
    """Write the one canonical line of a recharge or payment, whatever came of it.

    Args:
        acquirer_id: the network.
        terminal_id: data element 41.
        stan: data element 11.
        rrn: data element 37.
        mti: of the request; a repeat has its own.
        kind: recharge or payment.
        code: what was answered.
        paid_centavos: the money handed over.
        units_tenths: units in all its tokens.
        token_count: how many tokens; never their digits.
        meter_number: as typed.
        sale_id: the ledger's id, None where nothing was reserved.
        is_repeat: answered from the journal.
        stage_microseconds: time per stage (reserve, mint, sign, post, whole).
    """
    log.info(
        Event.SALE_COMPLETED,
        acquirer_id=acquirer_id,
        terminal_id=terminal_id,
        stan=stan,
        rrn=rrn,
        mti=mti,
        kind=kind,
        code=code.value,
        paid_centavos=paid_centavos,
        units_tenths=units_tenths,
        token_count=token_count,
        meter_number=meter_number,
        sale_id=sale_id,
        is_repeat=is_repeat,
        stage_microseconds=stage_microseconds,
    )


_LEVELS = {
    LogLevel.debug: "debug",
    LogLevel.info: "debug",  # Twisted's own info lines tell of factories and ports, which we do ourselves
    LogLevel.warn: "warning",
    LogLevel.error: "error",
    LogLevel.critical: "error",
}


@implementer(ILogObserver)
class TwistedObserver:
    """Turns an event of ``twisted.logger`` into a line; a failure comes with its traceback."""

    def __call__(self, event: LogEvent) -> None:
        """Write *event*."""
        failure = event.get("log_failure")
        fields: dict[str, Any] = {"namespace": event.get("log_namespace", ""), "text": formatEvent(event)}
        if failure is not None:
            log.error(
                Event.TWISTED_FAILED, **fields, failure=failure.getErrorMessage(), traceback=failure.getTraceback()
            )
            return
        level = _LEVELS.get(event.get("log_level", LogLevel.info), "error")
        getattr(log, level)(Event.TWISTED_LOGGED, **fields)
