import ast
import io
import json
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from switch.log import (
    LINES_PER_SECOND_MAX,
    Event,
    LineLimit,
    TwistedObserver,
    bound,
    configure,
    lines_lost,
    log,
    mask_text,
    sale_completed,
)
from vending.response_code import ResponseCode
from vending.secret import Secret

PIN = "12345678901234567890"
SWITCH = Path(__file__).parents[2] / "switch"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    text = io.StringIO()
    configure(text, level="debug", is_bridging_twisted=False)
    yield text
    structlog.reset_defaults()


def _lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_event_level_and_utc_time(stream: io.StringIO) -> None:
    """A collector needs nothing but the line."""
    log.warning(Event.LEDGER_LOST, attempts=3, text="two\nlines", tariff="Ñandú")
    (line,) = _lines(stream)
    assert stream.getvalue().count("\n") == 1
    assert "Ñandú" in stream.getvalue()
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "ledger.lost",
        "level": "warning",
        "attempts": 3,
        "text": "two\nlines",
        "tariff": "Ñandú",
    }


def test_levels_below_the_chosen_one_are_not_written() -> None:
    """Debug lines cost nothing in production."""
    text = io.StringIO()
    configure(text, level="warning", is_bridging_twisted=False)
    log.debug(Event.CONNECTION_OPENED)
    log.info(Event.SWITCH_STARTED)
    log.error(Event.SERVE_FAILED)
    assert [line["event"] for line in _lines(text)] == ["serve.failed"]
    structlog.reset_defaults()


def test_bound_fields_are_on_every_line_inside_and_gone_after(stream: io.StringIO) -> None:
    """STAN and terminal need not be repeated, nest, and do not leak; a line's own field wins."""
    with bound(stan="000001", terminal_id="T1"):
        log.info(Event.SALE_RESOLVED)
        with bound(stan="000002"):
            log.info(Event.SALE_RESOLVED, terminal_id="T2")
        log.info(Event.SALE_RESOLVED)
    log.info(Event.SALE_RESOLVED)
    assert [(line.get("stan"), line.get("terminal_id")) for line in _lines(stream)] == [
        ("000001", "T1"),
        ("000002", "T2"),
        ("000001", "T1"),
        (None, None),
    ]


class _Colour(Enum):
    PIN = PIN


@pytest.mark.parametrize(
    "value",
    [
        Secret(PIN),
        [Secret(PIN)],
        {"deep": ({"er": Secret(PIN)},)},
        Secret(PIN.encode()),
        PIN,
        f"the PIN is {PIN}.",
        PIN * 3,
        int(PIN),
        -int(PIN),
        [PIN],
        {PIN: 1},
        {"a": {"b": [int(PIN)]}},
        "1234 5678 9012 3456 7890",
        "1234-5678-9012-3456-7890 y más",
        bytes.fromhex(PIN),
        bytearray(PIN.encode()),
        Path(PIN),
        _Colour.PIN,
        ValueError(PIN),
        {PIN},
    ],
    ids=str,
)
def test_no_pin_reaches_a_line_in_any_form(stream: io.StringIO, value: object) -> None:
    """A secret renders as a mask, and twenty digits are masked even where somebody revealed them."""
    log.info(Event.SALE_RESOLVED, value=value)
    with bound(value=value):
        log.info(Event.SALE_RESOLVED)
    written = stream.getvalue()
    # What a connection of an earlier test has still to say comes here too.
    assert len([line for line in _lines(stream) if line["event"] == Event.SALE_RESOLVED.value]) == 2
    for form in (PIN, "1234 5678", "1234-5678", "\\u0012"):
        assert form not in written


def test_a_pin_in_a_traceback_is_masked(stream: io.StringIO) -> None:
    """An exception's text passes the same mask."""
    try:
        raise ValueError(f"bad token {PIN}")
    except ValueError as error:
        log.error(Event.SERVE_FAILED, exc_info=error)
    (line,) = _lines(stream)
    assert "ValueError: bad token ***" in line["exception"]
    assert "Traceback" in line["exception"]


@settings(deadline=None)  # a noisy machine is no fault of the code
@given(st.text(max_size=60), st.from_regex(r"[0-9]{20,45}", fullmatch=True), st.text(max_size=60))
def test_twenty_digits_are_masked_in_any_surroundings(before: str, digits: str, after: str) -> None:
    """No run of twenty digits is left in a masked text."""
    masked = mask_text(before + digits + after)
    assert digits not in masked
    run = 0
    for character in masked:
        run = run + 1 if "0" <= character <= "9" else 0
        assert run < 20


@pytest.mark.parametrize(
    "text", ["37000000007", "123456789012345678", "1234567890123456789", "2026-11-23T21:40:41Z 000123 1"]
)
def test_meter_numbers_pans_and_times_stay_readable(text: str) -> None:
    """Nineteen digits and less are no PIN; an operator needs them."""
    assert mask_text(text) == text


def test_a_disk_that_is_full_costs_lines_and_nothing_else() -> None:
    """Writing a line never raises; the loss is counted and ends when there is room again."""

    class Full(io.StringIO):
        is_full = True

        def write(self, text: str, /) -> int:
            if self.is_full:
                raise OSError(28, "No space left on device")
            return super().write(text)

    text = Full()
    configure(text, is_bridging_twisted=False)
    log.info(Event.SWITCH_STARTED)
    log.info(Event.SWITCH_STARTED)
    assert lines_lost() == 2
    text.is_full = False
    log.info(Event.SWITCH_STARTED)
    assert len(_lines(text)) == 1
    text.close()
    log.info(Event.SWITCH_STARTED)
    assert lines_lost() == 3
    structlog.reset_defaults()


def test_the_canonical_line_of_a_sale_tells_all_but_the_digits(stream: io.StringIO) -> None:
    """One line per sale answers an operator's questions."""
    sale_completed(
        acquirer_id="banco",
        terminal_id="T0000001",
        stan="000123",
        rrn="632821000123",
        mti="0200",
        kind="recharge",
        code=ResponseCode.APPROVED,
        paid_centavos=2_000_000,
        units_tenths=312,
        token_count=1,
        meter_number="37000000007",
        sale_id=9,
        stage_microseconds={"reserve": 900, "whole": 4000},
    )
    (line,) = _lines(stream)
    assert line["event"] == "sale.completed"
    assert (line["code"], line["paid_centavos"], line["units_tenths"]) == ("approved", 2_000_000, 312)
    assert line["stage_microseconds"] == {"reserve": 900, "whole": 4000}


def test_a_failure_logged_by_twisted_is_a_line_with_its_traceback(stream: io.StringIO) -> None:
    """What Twisted would print to nowhere is not lost."""
    try:
        raise ZeroDivisionError(f"by {PIN}")
    except ZeroDivisionError:
        Logger(namespace="a.b", observer=TwistedObserver()).failure("it {what}", failure=Failure(), what="broke")
    (line,) = _lines(stream)
    assert (line["event"], line["level"], line["namespace"]) == ("twisted.failed", "error", "a.b")
    assert line["text"] == "it broke"
    assert "ZeroDivisionError" in line["traceback"]
    assert PIN not in stream.getvalue()


@pytest.mark.parametrize(
    ("level", "written"),
    [(LogLevel.debug, "debug"), (LogLevel.info, "debug"), (LogLevel.warn, "warning"), (LogLevel.critical, "error")],
)
def test_levels_of_twisted_become_ours(stream: io.StringIO, level: Any, written: str) -> None:
    """Twisted's chatter about factories is for developers only."""
    Logger(namespace="x", observer=TwistedObserver()).emit(level, "said {n}", n=1)
    (line,) = _lines(stream)
    assert (line["level"], line["event"], line["text"]) == (written, "twisted.logged", "said 1")


def test_an_unhandled_failure_of_a_deferred_is_logged_through_the_bridge() -> None:
    """In a fresh process, `configure` alone is enough for lost failures to become lines."""
    import subprocess
    import sys

    program = (
        "import sys, gc\n"
        "from switch.log import configure\n"
        "from twisted.internet.defer import fail\n"
        "configure(sys.stdout)\n"
        "configure(sys.stdout, level='warning')\n"
        "fail(RuntimeError('lost one'))\n"
        "gc.collect()\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=SWITCH.parent, timeout=60
    )
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    assert [line["event"] for line in lines if line["level"] == "error"][-1] == "twisted.failed"
    assert "lost one" in run.stdout
    assert run.stderr == ""


def test_fields_survive_waiting(stream: io.StringIO) -> None:
    """Two coroutines that wait for each other keep their own fields."""
    gates: list[Deferred[None]] = [Deferred(), Deferred()]

    async def work(number: int) -> None:
        with bound(stan=str(number)):
            await gates[number]
            log.info(Event.SALE_RESOLVED)

    for number in range(2):
        Deferred.fromCoroutine(work(number))
    gates[1].callback(None)
    gates[0].callback(None)
    assert [line["stan"] for line in _lines(stream)] == ["1", "0"]


def test_event_names_are_dotted_and_told_apart() -> None:
    """Every name is object.what-happened, once."""
    names = [event.value for event in Event]
    assert len(set(names)) == len(names) == len(Event.__members__)
    for name in names:
        subject, happened = name.split(".")
        assert subject.replace("_", "").isalpha()
        assert any(word.endswith("ed") or word in ("lost", "found") for word in happened.split("_")), name


def test_every_line_of_the_switch_uses_an_event_of_the_list() -> None:
    """No module of the switch invents a name on the spot."""
    calls = 0
    for path in SWITCH.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "log"
                and node.func.attr in ("debug", "info", "warning", "error")
            ):
                calls += 1
                event = ast.unparse(node.args[0])
                # What looks again and again is given its event, typed as one, by whoever makes it.
                is_given = path.name == "again.py" and event == "self._failed_event"
                assert is_given or event.startswith("Event."), f"{path}:{node.lineno}"
    assert calls >= 8


def test_a_flood_of_one_kind_leaves_some_lines_and_then_their_number(stream: io.StringIO) -> None:
    """Of each kind so many in a second; what was kept back is told once, and the next second begins anew."""
    clock = Clock()
    limit = LineLimit(clock, "red")
    for _ in range(LINES_PER_SECOND_MAX + 5):
        if limit.admits("refused"):
            log.info(Event.MESSAGE_REFUSED)
    assert limit.admits("other kind")
    assert len(_lines(stream)) == LINES_PER_SECOND_MAX
    clock.advance(1.0)
    assert [line for line in _lines(stream) if line["event"] != Event.MESSAGE_REFUSED.value] == [
        {
            **_lines(stream)[-1],
            "event": "lines.suppressed",
            "level": "warning",
            "acquirer_id": "red",
            "kind": "refused",
            "count": 5,
        }
    ]
    assert limit.admits("refused")
    clock.advance(5.0)
    assert len(_lines(stream)) == LINES_PER_SECOND_MAX + 1
