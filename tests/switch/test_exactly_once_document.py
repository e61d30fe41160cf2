"""docs/exactly-once.md: its tables name what the code has, and the tests that it names exist."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from acquirers import iso1993_requests
from acquirers.iso1987_requests import DIGEST_FIELDS
from messages.local_date_time import DAYS_FROM_NOW_MAX
from switch.connection import CloseReason
from tests.switch.sale_bench import NOW, Bench, recharge
from vending.response_code import ResponseCode

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "exactly-once.md").read_text(encoding="utf-8")


def test_the_digest_is_the_one_that_is_documented() -> None:
    """An auditor reads the page, not the code."""
    assert f"elements {', '.join(map(str, DIGEST_FIELDS))}, each" in PAGE
    assert f"elements {', '.join(map(str, iso1993_requests.DIGEST_FIELDS))} |" in PAGE
    assert f"more than {DAYS_FROM_NOW_MAX} days" in PAGE


def test_every_test_that_the_page_names_exists() -> None:
    """A case without its test is a promise."""
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    written = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert named <= written
    assert len(named) >= 9
    for path in re.findall(r"`(tests/[\w/]+\.py)`", PAGE):
        assert (ROOT / path).is_file(), path


def test_every_reason_that_the_page_names_is_one_of_ours() -> None:
    """The words are labels of a metric."""
    part = PAGE.split("## Answers that never arrived")[1]
    reasons = set(re.findall(r"\| `(\w+)` \|$", part, re.MULTILINE))
    assert reasons == {"peer_lost", "send_stalled", "close_timeout", "drain_timeout"}
    assert reasons <= {reason.value for reason in CloseReason}


@pytest.mark.parametrize(("days", "is_known"), [(1, True), (30, True), (181, True), (184, False)])
def test_how_late_a_copy_is_still_known(days: int, is_known: bool) -> None:
    """Half a year: then the nearest year of element 7 is the next one, and the copy is a request of its own."""
    bench = Bench()
    first = bench.send(recharge())
    assert first.code is ResponseCode.APPROVED
    bench.now = NOW + timedelta(days=days)
    again = bench.send(recharge("0201"))
    assert (again.body == first.body) is is_known
    assert len(bench.ledger.sales) == (1 if is_known else 2)
