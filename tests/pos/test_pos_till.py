"""A person at the terminal: what is stored when, what is refused, what is printed again."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from messages.codec import DATAFONO
from pos.client import NotSent
from pos.dialogue import Final, Unknown
from pos.store import ExchangeOpen, ExchangeStatus, TerminalStore
from pos.till import NothingToRepeat, Till
from tests.pos.fake_switch import (
    IDENTITY,
    PIN,
    Behaviour,
    FakeSwitch,
    MemoryLink,
    answer_to,
    approve,
    decline,
    silent,
    unsigned,
)
from vending.money import Centavos

START = datetime(2026, 11, 23, 16, 5, 9, 123456, tzinfo=UTC)
METER = "37000000002"
PAID = Centavos(2_000_000)


class Desk:
    """A till on a scripted network; the clock goes on a minute with every look at it."""

    def __init__(self, directory: Path, *script: Behaviour) -> None:
        self.store = TerminalStore.create(directory, IDENTITY)
        self.switch = FakeSwitch(list(script))
        self.link = MemoryLink(self.switch)
        self._looks = 0
        self.till = self.restarted()

    def restarted(self) -> Till:
        self.store = TerminalStore.open(self.store.path.parent, IDENTITY.terminal_id)
        return Till(self.store, self.link, now=self._now)

    def _now(self) -> datetime:
        self._looks += 1
        return START + timedelta(minutes=self._looks)

    def sell(self) -> Final | Unknown | NotSent:
        return self.till.sell(meter_number=METER, paid_centavos=PAID)

    @property
    def mtis(self) -> list[str]:
        return [request.mti for request in self.switch.requests]


@pytest.fixture
def desk(tmp_path: Path) -> Callable[..., Desk]:
    return lambda *script: Desk(tmp_path, *script)


def test_the_request_is_on_disk_before_it_leaves(desk: Callable[..., Desk]) -> None:
    """At the moment of sending, another reader of the memory sees the open sale with exactly that message."""
    at = desk(approve)
    seen: list[tuple[ExchangeStatus, str]] = []

    def look() -> None:
        sale = TerminalStore.open(at.store.path.parent, IDENTITY.terminal_id).sale
        assert sale is not None
        seen.append((sale.status, DATAFONO.decode(sale.request).text(11)))

    at.link.seen_before_send = look
    at.sell()
    assert seen == [(ExchangeStatus.OPEN, at.switch.requests[0].text(11))]


def test_a_sale_ends_final_with_its_answer(desk: Callable[..., Desk]) -> None:
    """After an approval the memory holds the answer, and the next sale has a new STAN."""
    at = desk(approve)
    outcome = at.sell()
    assert isinstance(outcome, Final)
    assert at.store.sale is not None
    assert at.store.sale.status is ExchangeStatus.FINAL
    assert at.store.sale.answer == outcome.octets
    assert at.store.sale.transmitted_at == START.replace(microsecond=0) + timedelta(minutes=1)
    at.sell()
    assert [request.text(11) for request in at.switch.requests] == ["000001", "000002"]


def test_an_unknown_outcome_blocks_the_terminal_until_it_is_known(desk: Callable[..., Desk]) -> None:
    """No second sale leaves the terminal; the same request does, and its answer frees it."""
    at = desk(silent)
    assert isinstance(at.sell(), Unknown)
    sent = len(at.switch.requests)
    with pytest.raises(ExchangeOpen):
        at.restarted().sell(meter_number=METER, paid_centavos=PAID)
    with pytest.raises(ExchangeOpen):
        at.restarted().pay(meter_number=METER, paid_centavos=PAID)
    assert len(at.switch.requests) == sent
    at.switch.script[:] = [approve]
    repeated = at.restarted().repeat_last()
    assert isinstance(repeated.outcome, Final)
    assert repeated.copy_number == 1
    assert at.switch.requests[-1].mti == "0201"
    assert {request.text(11) for request in at.switch.requests} == {"000001"}
    at.restarted().sell(meter_number=METER, paid_centavos=PAID)


def test_an_answer_without_a_mac_does_not_free_the_terminal(desk: Callable[..., Desk]) -> None:
    """What is not proved leaves the outcome unknown."""
    at = desk(unsigned)
    assert isinstance(at.sell(), Unknown)
    assert at.store.sale is not None
    assert at.store.sale.status is ExchangeStatus.OPEN


def test_a_decline_frees_the_terminal(desk: Callable[..., Desk]) -> None:
    """After a refusal the next customer is served, and the refusal can be asked for again without being a copy."""
    at = desk(decline("51"))
    at.sell()
    repeated = at.till.repeat_last()
    assert isinstance(repeated.outcome, Final)
    assert repeated.copy_number is None
    at.sell()


def test_copies_are_counted(desk: Callable[..., Desk]) -> None:
    """Each reprint has its number, also after a restart, and the digits stay the same."""
    at = desk(approve)
    at.sell()
    numbers = []
    for _ in range(3):
        repeated = at.restarted().repeat_last()
        assert isinstance(repeated.outcome, Final)
        assert repeated.outcome.answer.text(62) == PIN
        numbers.append(repeated.copy_number)
    assert numbers == [1, 2, 3]


def test_a_copy_comes_from_memory_when_nobody_answers(desk: Callable[..., Desk]) -> None:
    """The ticket of a known sale is printed again without a network."""
    at = desk(approve)
    at.sell()
    at.link.is_down = True
    repeated = at.till.repeat_last()
    assert isinstance(repeated.outcome, Final)
    assert (repeated.is_from_memory, repeated.copy_number) == (True, 1)


def test_what_never_left_is_not_open(desk: Callable[..., Desk]) -> None:
    """Without a link nothing was asked, so nothing blocks and nothing can be repeated or undone."""
    at = desk(approve)
    at.link.is_down = True
    assert isinstance(at.sell(), NotSent)
    with pytest.raises(NothingToRepeat) as caught:
        at.till.repeat_last()
    assert caught.value.status is ExchangeStatus.NOT_SENT
    with pytest.raises(NothingToRepeat):
        at.till.reverse_last()
    at.link.is_down = False
    assert isinstance(at.sell(), Final)
    assert at.mtis == ["0200"]


def test_an_open_sale_stays_open_without_a_link(desk: Callable[..., Desk]) -> None:
    """A sale that may have arrived is not forgotten because the network is down now."""
    at = desk(silent)
    at.sell()
    at.link.is_down = True
    assert isinstance(at.till.repeat_last().outcome, NotSent)
    assert at.store.sale is not None
    assert at.store.sale.status is ExchangeStatus.OPEN


@pytest.mark.parametrize("code", ["00", "25"])
def test_a_reversed_sale_is_never_repeated(desk: Callable[..., Desk], code: str) -> None:
    """Once undone, or known never to have arrived, repeating it could sell it after all; so it is not sent."""
    at = desk(silent)
    at.sell()
    at.switch.script[:] = [decline(code)]
    assert isinstance(at.till.reverse_last().outcome, Final)
    assert at.switch.requests[-1].text(90).startswith("0200000001")
    sent = len(at.switch.requests)
    for use in (at.till.repeat_last, at.till.reverse_last):
        with pytest.raises(NothingToRepeat) as caught:
            use()
        assert caught.value.status is ExchangeStatus.REVERSED
    assert len(at.switch.requests) == sent
    at.switch.script[:] = [approve]
    assert isinstance(at.restarted().sell(meter_number=METER, paid_centavos=PAID), Final)


def test_a_sale_that_stands_is_known_after_its_reversal_is_refused(desk: Callable[..., Desk]) -> None:
    """Code 21 says that the token exists: the open sale is final, and its ticket can be asked for."""
    at = desk(silent)
    at.sell()
    at.switch.script[:] = [
        lambda switch, request: switch.signed(answer_to(request, "21", {62: PIN, 63: "RC003123"})),
        approve,
    ]
    reprint = at.till.reverse_last()
    outcome = reprint.outcome
    assert reprint.copy_number == 1
    assert isinstance(outcome, Final)
    assert outcome.answer.text(62) == PIN
    assert at.store.sale is not None
    assert at.store.sale.status is ExchangeStatus.FINAL
    assert at.restarted().repeat_last().copy_number == 2


@pytest.mark.parametrize("code", ["92", "96", "63"])
def test_a_reversal_that_failed_leaves_the_sale_as_it_was(desk: Callable[..., Desk], code: str) -> None:
    """A refusal for another reason says nothing of the sale: what was open stays open, and a new reversal may be tried."""
    at = desk(silent)
    at.sell()
    at.switch.script[:] = [decline(code), decline("00")]
    at.till.reverse_last()
    assert at.store.sale is not None
    statuses = [at.store.sale.status]
    at.till.reverse_last()
    statuses.append(at.store.sale.status)
    assert statuses == [ExchangeStatus.OPEN, ExchangeStatus.REVERSED]
    assert at.mtis[-2:] == ["0400", "0400"]
    assert at.switch.requests[-1].text(11) != at.switch.requests[-2].text(11)


def test_an_unfinished_reversal_is_asked_again_under_its_key(desk: Callable[..., Desk]) -> None:
    """After silence the reversal goes out as 0401 with the same STAN, also after a restart, and blocks sales meanwhile."""
    at = desk(approve)
    at.sell()
    at.switch.script[:] = [silent]
    assert isinstance(at.till.reverse_last().outcome, Unknown)
    with pytest.raises(ExchangeOpen):
        at.restarted().sell(meter_number=METER, paid_centavos=PAID)
    at.switch.script[:] = [decline("00")]
    assert isinstance(at.restarted().reverse_last().outcome, Final)
    reversals = [request for request in at.switch.requests if request.message_class == "0400"]
    assert reversals[0].mti == "0400"
    assert {request.mti for request in reversals[1:]} == {"0401"}
    assert {request.text(11) for request in reversals} == {"000002"}


def test_a_reversal_that_never_left_blocks_nothing(desk: Callable[..., Desk]) -> None:
    """Without a link the sale stays sold and the terminal sells on."""
    at = desk(approve)
    at.sell()
    at.link.is_down = True
    assert isinstance(at.till.reverse_last().outcome, NotSent)
    at.link.is_down = False
    assert isinstance(at.sell(), Final)


def test_before_the_first_sale_there_is_nothing_to_repeat(desk: Callable[..., Desk]) -> None:
    """A new terminal says so."""
    at = desk(approve)
    for use in (at.till.repeat_last, at.till.reverse_last):
        with pytest.raises(NothingToRepeat) as caught:
            use()
        assert caught.value.status is None


def test_payments_and_wishes_reach_the_message(desk: Callable[..., Desk]) -> None:
    """An obligation to pay and a voluntary part travel as sub-elements; an inquiry and an echo store nothing."""
    at = desk(approve)
    at.till.pay(meter_number=METER, paid_centavos=PAID, obligation="mora-2026-03")
    at.till.sell(meter_number=METER, paid_centavos=PAID, voluntary=("mora-2026-03", Centavos(50_000)))
    stored = at.store.sale
    at.switch.script[:] = [decline("00")]
    at.till.inquire(meter_number=METER, trial_centavos=PAID)
    at.till.network("301")
    assert at.store.sale == stored
    payment, recharge, inquiry, echo = at.switch.requests
    assert (payment.text(3), payment.text(48)) == ("530000", "OB012mora-2026-03")
    assert (recharge.text(3), recharge.text(48)) == ("500000", "VO012mora-2026-03VA00550000")
    assert (inquiry.mti, inquiry.text(3), inquiry.text(4)) == ("0100", "310000", "000002000000")
    assert (echo.mti, echo.text(70)) == ("0800", "301")
    assert 64 not in echo
    assert 128 not in echo
