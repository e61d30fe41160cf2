"""The last answer and the delivery advice at the terminal: which ticket is a copy, and what is told to whom, when."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from messages.codec import DATAFONO
from pos.client import NotSent
from pos.dialogue import Final, Unknown
from pos.display import ExitStatus, Style, show_last
from pos.store import ADVICES_KEPT_MAX, ExchangeStatus, TerminalStore
from pos.texts import UtilityTexts
from pos.till import NothingToRepeat
from tests.pos.fake_switch import PIN, Behaviour, approve, decline, silent, was_declined
from tests.pos.test_pos_till import METER, PAID, Desk

STYLE = Style(utility=UtilityTexts(name="ESP", tax_id="1", complaints_line="116"))


@pytest.fixture
def desk(tmp_path: Path) -> Callable[..., Desk]:
    return lambda *script: Desk(tmp_path, *script)


def test_a_copy_is_asked_for_by_name_and_numbered_over_there(desk: Callable[..., Desk]) -> None:
    """The question names the sale, changes no key, and the network's count is the copy's number."""
    at = desk(approve)
    at.sell()
    at.switch.reprints = 4
    reprint = at.restarted().last_answer()
    assert isinstance(reprint.outcome, Final)
    assert (reprint.copy_number, reprint.is_from_memory) == (5, False)
    assert reprint.outcome.answer.text(62) == PIN
    sale, question = at.switch.requests
    assert (question.mti, question.text(3)) == ("0100", "380000")
    assert question.text(90) == "0200" + sale.text(11) + sale.text(7) + "0" * 22
    assert at.restarted().last_answer().copy_number == 6
    shown = show_last(reprint, STYLE)
    assert (shown.status, shown.has_ticket, "COPIA 5" in shown.text) == (ExitStatus.APPROVED, True, True)


def test_a_lost_answer_is_found_without_a_second_sale(desk: Callable[..., Desk]) -> None:
    """The open sale ends with what the network tells, and the terminal sells on."""
    at = desk(silent)
    assert isinstance(at.sell(), Unknown)
    at.switch.script[:] = [approve]
    reprint = at.restarted().last_answer()
    assert isinstance(reprint.outcome, Final)
    assert reprint.copy_number == 1
    assert at.store.sale is not None
    assert (at.store.sale.status, at.store.sale.answer) == (ExchangeStatus.FINAL, reprint.outcome.octets)
    assert at.switch.requests[-1].mti == "0100"
    assert isinstance(at.restarted().sell(meter_number=METER, paid_centavos=PAID), Final)


def test_a_lost_refusal_is_found_too(desk: Callable[..., Desk]) -> None:
    """00 says only that the sale is known; what became of it is the original's code, and there is no ticket."""
    at = desk(silent)
    at.sell()
    at.switch.script[:] = [was_declined("51")]
    reprint = at.restarted().last_answer()
    assert reprint.copy_number is None
    shown = show_last(reprint, STYLE)
    assert (shown.status, shown.has_ticket) == (ExitStatus.DECLINED, False)
    assert "DECLINADA 51" in shown.text
    assert at.store.sale is not None
    assert at.store.sale.status is ExchangeStatus.FINAL
    at.link.is_down = True
    remembered = at.restarted().last_answer()
    assert "DECLINADA 51" in show_last(remembered, STYLE).text
    assert remembered.copy_number is None


@pytest.mark.parametrize("code", ["25", "92", "12"])
def test_an_open_sale_that_is_not_told_is_repeated_under_its_key(desk: Callable[..., Desk], code: str) -> None:
    """Whatever the question brings, the sale's own repeat has the last word."""
    at = desk(silent)
    at.sell()
    at.switch.script[:] = [decline(code), approve]
    reprint = at.restarted().last_answer()
    assert isinstance(reprint.outcome, Final)
    assert at.mtis[-2:] == ["0100", "0201"]
    assert at.switch.requests[-1].text(11) == "000001"
    assert show_last(reprint, STYLE).has_ticket


def test_an_answer_about_another_sale_is_not_taken(desk: Callable[..., Desk]) -> None:
    """A ticket of somebody else's sale would be worse than none."""

    def another(switch: object, request: object) -> bytes:
        return approve(switch, request.without_fields(90))  # type: ignore[arg-type, attr-defined]

    at = desk(approve)
    at.sell()
    at.switch.script[:] = [another]
    reprint = at.till.last_answer()
    assert reprint.is_from_memory
    assert reprint.outcome == Final(
        answer=DATAFONO.decode(at.store.sale.answer),  # type: ignore[union-attr, arg-type]
        octets=at.store.sale.answer,  # type: ignore[union-attr, arg-type]
    )


@pytest.mark.parametrize("behaviour", [silent, decline("25"), decline("92")])
def test_a_known_sale_is_printed_from_memory(desk: Callable[..., Desk], behaviour: Behaviour) -> None:
    """The terminal has had its answer; what the network cannot tell now does not take it away."""
    at = desk(approve)
    at.sell()
    at.switch.script[:] = [behaviour]
    reprint = at.till.last_answer()
    assert (reprint.is_from_memory, reprint.copy_number) == (True, 1)
    assert show_last(reprint, STYLE).has_ticket


def test_a_blocked_terminal_prints_nothing(desk: Callable[..., Desk]) -> None:
    """It may be in the wrong hands."""
    at = desk(approve)
    at.sell()
    at.switch.script[:] = [decline("58")]
    shown = show_last(at.till.last_answer(), STYLE)
    assert (shown.status, shown.has_ticket) == (ExitStatus.DECLINED, False)


def test_a_terminal_without_memory_asks_for_what_the_network_remembers(desk: Callable[..., Desk]) -> None:
    """Element 90 is left out, and the ticket shows when it was sold then."""
    at = desk(approve)
    reprint = at.till.last_answer()
    assert 90 not in at.switch.requests[0]
    assert (reprint.copy_number, reprint.sold_at) == (1, datetime(2026, 11, 23, 16, 5, 9, tzinfo=UTC))
    assert "COPIA 1" in show_last(reprint, STYLE).text
    at.switch.script[:] = [decline("25")]
    assert show_last(at.till.last_answer(), STYLE).status is ExitStatus.DECLINED
    assert at.store.sale is None


def test_what_was_undone_is_not_asked_for(desk: Callable[..., Desk]) -> None:
    """There is no ticket of it to print."""
    at = desk(silent)
    at.sell()
    at.switch.script[:] = [decline("25")]
    at.till.reverse_last()
    with pytest.raises(NothingToRepeat):
        at.till.last_answer()


def test_an_advice_is_on_disk_before_it_leaves_and_gone_when_answered(desk: Callable[..., Desk]) -> None:
    """It names the sale, has a STAN of its own, and one sale has one advice."""
    at = desk(approve)
    at.sell()
    at.till.ticket_printed()
    seen: list[int] = []
    at.link.seen_before_send = lambda: seen.append(
        len(TerminalStore.open(at.store.path.parent, at.store.identity.terminal_id).advices)
    )
    at.till.send_advices()
    assert seen == [1]
    sale, advice = at.switch.requests
    assert (advice.mti, advice.text(11)) == ("0220", "000002")
    assert advice.text(90) == "0200" + sale.text(11) + sale.text(7) + "0" * 22
    assert at.restarted() is not None
    assert at.store.advices == ()
    at.till.ticket_printed()
    at.till.send_advices()
    assert at.mtis == ["0200", "0220"]


@pytest.mark.parametrize("is_down", [False, True])
def test_an_unanswered_advice_hinders_no_sale_and_goes_out_again(desk: Callable[..., Desk], is_down: bool) -> None:
    """Once is enough for now; after the next sale the old one goes first, as 0221 with its own STAN, then the new one."""
    at = desk(approve)
    at.sell()
    at.till.ticket_printed()
    at.switch.script[:] = [silent]
    at.link.is_down = is_down
    at.till.send_advices()
    assert at.mtis == (["0200"] if is_down else ["0200", "0220"])
    at.link.is_down = False
    at.switch.script[:] = [approve]
    till = at.restarted()
    assert len(at.store.advices) == 1
    till.sell(meter_number=METER, paid_centavos=PAID)
    till.ticket_printed()
    till.send_advices()
    assert at.mtis[-3:] == ["0200", "0221", "0220"]
    assert at.switch.requests[-2].text(11) == "000002"
    assert list(at.store.advices) == []


@pytest.mark.parametrize("code", ["25", "94"])
def test_any_final_answer_ends_an_advice(desk: Callable[..., Desk], code: str) -> None:
    """The network has had its say; asking for ever would help nobody."""
    at = desk(approve, decline(code))
    at.sell()
    at.till.ticket_printed()
    at.till.send_advices()
    assert at.store.advices == ()


def test_an_advice_that_is_not_final_is_kept(desk: Callable[..., Desk]) -> None:
    """09 says that the sale is open over there."""
    at = desk(approve, decline("09"))
    at.sell()
    at.till.ticket_printed()
    at.till.send_advices()
    assert len(at.store.advices) == 1
    assert at.mtis == ["0200", "0220"]


def test_the_kept_advices_are_bounded(desk: Callable[..., Desk]) -> None:
    """A network that never answers advices fills no disk; the newest are kept."""
    at = desk(approve)
    for _ in range(ADVICES_KEPT_MAX + 3):
        at.sell()
        at.till.ticket_printed()
    kept = [DATAFONO.decode(advice.request).text(11) for advice in at.store.advices]
    assert len(kept) == ADVICES_KEPT_MAX
    assert kept[-1] == f"{2 * (ADVICES_KEPT_MAX + 3):06}"


def test_without_a_sale_there_is_nothing_to_advise(desk: Callable[..., Desk]) -> None:
    """A new terminal, and one whose sale never left."""
    at = desk(approve)
    at.till.ticket_printed()
    at.till.send_advices()
    at.link.is_down = True
    assert isinstance(at.sell(), NotSent)
    assert at.switch.requests == []


def test_a_memory_of_before_there_were_advices_is_read(desk: Callable[..., Desk]) -> None:
    """A terminal that is brought up to date keeps its sale."""
    at = desk(approve)
    at.sell()
    text = at.store.path.read_text()
    old = text.replace('"advices": []', '"unused": 0').replace('"is_advised": false', '"unused": 0')
    assert "advise" not in old
    at.store.path.write_text(old)
    at.restarted()
    assert at.store.sale is not None
    assert (at.store.sale.is_advised, at.store.advices) == (False, ())
