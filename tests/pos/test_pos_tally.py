"""What a terminal counts: each sale once, under the day that its answer names, over power cuts and repeats."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from messages.codec import DATAFONO
from messages.iso_message import IsoMessage
from pos.client import NotSent
from pos.closing import show_close
from pos.dialogue import Final
from pos.display import ExitStatus, Style
from pos.store import ExchangeKind, ExchangeStatus, StoredExchange, TerminalStore
from pos.tally import DAYS_KEPT_MAX, Sold, Tally
from pos.texts import ENGLISH, SPANISH, UtilityTexts
from tests.pos.fake_switch import IDENTITY
from vending.settlement import DayTotals, Sum

AT = datetime(2026, 11, 24, 4, 59, tzinfo=UTC)
"""A minute before midnight of the 23rd in Bogota."""

TOMORROW = date(2026, 11, 24)
UTILITY = UtilityTexts(name="E.S.P.", tax_id="900.000.000-1", complaints_line="115")


def message(mti: str, fields: dict[int, str]) -> bytes:
    """Octets without a MAC."""
    return DATAFONO.encode(IsoMessage(mti=mti, fields=fields))


def sale(processing_code: str = "500000", paid: int = 2_000_000) -> StoredExchange:
    """A request that is about to be sent."""
    request = message("0200", {3: processing_code, 4: f"{paid:012}"})
    return StoredExchange(kind=ExchangeKind.SALE, transmitted_at=AT, request=request)


APPROVED = message("0210", {15: "1124", 38: "000122", 39: "00"})
"""Around midnight the network counts it on the next day."""

DECLINED = message("0210", {39: "70"})
STANDS = message("0410", {15: "1124", 38: "000122", 39: "21"})
UNDONE = message("0410", {39: "00"})


@pytest.fixture
def store(tmp_path: Path) -> TerminalStore:
    """A new terminal."""
    return TerminalStore.create(tmp_path, IDENTITY)


def tally_of(store: TerminalStore) -> dict[date, DayTotals]:
    """What is on the disk."""
    return dict(TerminalStore.open(store.path.parent, store.identity.terminal_id).tally.days)


def test_a_sale_is_counted_once_under_the_day_of_its_answer(store: TerminalStore) -> None:
    """However often the answer comes again; a payment apart from a recharge."""
    store.store_sale(sale())
    for _ in range(3):
        store.settle_sale(ExchangeStatus.FINAL, APPROVED)
    store.store_sale(sale("530000", 500_000))
    store.settle_sale(ExchangeStatus.FINAL, APPROVED)
    assert tally_of(store) == {
        TOMORROW: DayTotals(recharges=Sum(1, 2_000_000), payments=Sum(1, 500_000)),
    }


def test_what_was_declined_or_never_left_is_not_counted(store: TerminalStore) -> None:
    """Only a sale that stands has a day and an approval."""
    store.store_sale(sale())
    store.settle_sale(ExchangeStatus.FINAL, DECLINED)
    store.store_sale(sale())
    store.settle_sale(ExchangeStatus.NOT_SENT)
    assert tally_of(store) == {}


def test_a_sale_that_its_reversal_found_standing_is_counted(store: TerminalStore) -> None:
    """Its own answer never came; the repeat of it later adds nothing."""
    store.store_sale(sale())
    store.store_reversal(StoredExchange(kind=ExchangeKind.REVERSAL, transmitted_at=AT, request=b""))
    store.settle_reversal(ExchangeStatus.FINAL, STANDS, sale_status=ExchangeStatus.FINAL)
    store.settle_sale(ExchangeStatus.FINAL, APPROVED)
    assert tally_of(store) == {TOMORROW: DayTotals(recharges=Sum(1, 2_000_000))}


def test_a_sale_that_was_given_back_is_counted_both_ways(store: TerminalStore) -> None:
    """The net is nothing."""
    store.store_sale(sale())
    store.settle_sale(ExchangeStatus.FINAL, APPROVED)
    store.store_reversal(StoredExchange(kind=ExchangeKind.REVERSAL, transmitted_at=AT, request=b""))
    store.settle_reversal(ExchangeStatus.FINAL, UNDONE, sale_status=ExchangeStatus.REVERSED)
    (totals,) = tally_of(store).values()
    assert totals == DayTotals(recharges=Sum(1, 2_000_000), reversed=Sum(1, 2_000_000))
    assert totals.net_centavos == 0


def test_a_memory_of_before_has_an_empty_tally(store: TerminalStore) -> None:
    """A terminal that is brought up to date goes on selling."""
    state = json.loads(store.path.read_bytes())
    del state["tally"]
    store.path.write_text(json.dumps(state))
    assert tally_of(store) == {}


def test_old_days_are_forgotten() -> None:
    """The file stays small."""
    tally = Tally()
    for number in range(DAYS_KEPT_MAX + 5):
        day = TOMORROW + timedelta(days=number)
        tally = tally.with_sold(Sold(day=day, totals=DayTotals(recharges=Sum(1, 1))))
    assert len(tally.days) == DAYS_KEPT_MAX
    assert min(tally.days) == TOMORROW + timedelta(days=5)
    assert Tally.from_state(tally.as_state()) == tally


@pytest.mark.parametrize("language", [SPANISH, ENGLISH])
def test_the_slip_says_whether_both_sides_agree(language: str) -> None:
    """And what the network has, where they do not; without a final answer it says so."""
    style = Style(utility=UTILITY, language=language, columns=48)
    totals = DayTotals(recharges=Sum(2, 4_000_000), reversed=Sum(1, 1_000_000))
    words = {SPANISH: ("CUADRA", "NO CUADRA", "Neto"), ENGLISH: ("AGREES", "DIFFERS", "Net")}[language]
    agrees = show_close(_final("00"), TOMORROW, totals, style)
    assert agrees.status is ExitStatus.APPROVED
    assert agrees.text.splitlines()[-1] == words[0]
    assert f"{words[2]}: $ 30.000" in agrees.text
    differs = show_close(_final("97"), TOMORROW, totals, style)
    assert differs.status is ExitStatus.DECLINED
    assert "3  $ 60.000" in differs.text
    assert differs.text.splitlines()[-1].startswith(words[1])
    assert show_close(_final("58"), TOMORROW, totals, style).status is ExitStatus.DECLINED
    assert show_close(NotSent(reason="no link"), TOMORROW, totals, style).status is ExitStatus.DECLINED


def _final(code: str) -> Final:
    fields = {39: code, 48: "OP0011", 76: "0000000003", 77: "0000000000", 88: f"{6_000_000:016}", 89: "0" * 16}
    return Final(answer=IsoMessage(mti="0510", fields=fields), octets=b"")
