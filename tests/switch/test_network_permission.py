"""What a network may sell, seen from its terminals: refused with a signed, stored answer, and never a sale taken back."""

from datetime import timedelta
from typing import Any

import pytest

from config.acquirer import AcquirerSection
from messages.codec import DATAFONO
from switch.network import dialect_complaints, exchange_of
from tests.switch.sale_bench import HANG, Bench, inquiry, last_answer, network, payment, recharge, reversal
from vending.response_code import ResponseCode

NIGHT = {"hours": ["20:00-02:00"]}
"""The bench's clock says 11:30 in Bogota."""


def _section(bench: Bench, **changes: Any) -> AcquirerSection:
    return AcquirerSection.model_validate({**bench.section.model_dump(), **changes})


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sells": NIGHT}, ResponseCode.OUTSIDE_HOURS),
        ({"sells": {"kinds": ["payment"]}}, ResponseCode.NOT_PERMITTED),
        ({"sells": {"maximum_paid_centavos": 1_999_999}}, ResponseCode.AMOUNT_ABOVE_MAXIMUM),
        ({"sells": {"minimum_paid_centavos": 2_000_001}}, ResponseCode.AMOUNT_BELOW_MINIMUM),
        ({"state": "stopped"}, ResponseCode.ACQUIRER_STOPPED),
        ({"state": "draining"}, ResponseCode.ACQUIRER_STOPPED),
    ],
)
def test_what_is_not_allowed_is_declined_before_anything_is_taken(changes: dict[str, Any], code: ResponseCode) -> None:
    """The MAC is verified first, the answer is signed and stored, nothing is minted, and a repeat is told the same."""
    bench = Bench(**changes)
    sent = bench.send(recharge())
    assert (sent.code, sent.is_signed) == (code, True)
    assert bench.events[0] == "verify asked"
    assert "mint asked" not in bench.events
    assert not bench.ledger.sales
    again = bench.send(recharge("0201"))
    assert again.body == sent.body
    assert bench.send(network("301")).code is ResponseCode.APPROVED


def test_a_stopped_network_still_reverses_and_asks() -> None:
    """Only new sales are refused."""
    bench = Bench(state="stopped")
    for message in (inquiry(), reversal(), last_answer()):
        assert bench.send(message).code is not ResponseCode.ACQUIRER_STOPPED


def test_a_payment_is_allowed_where_only_payments_are() -> None:
    """The kind is that of the request, not of the network."""
    assert Bench(sells={"kinds": ["payment"]}).send(payment()).code is ResponseCode.APPROVED


def test_a_sale_that_was_made_is_answered_after_hours() -> None:
    """The repeat of a sale from before closing time gets its token, and a new sale does not."""
    bench = Bench(sells={"hours": ["06:00-12:00"]})
    first = bench.send(recharge())
    bench.now += timedelta(hours=2)
    assert bench.send(recharge("0201")).body == first.body
    assert bench.send(recharge(stan="000077")).code is ResponseCode.OUTSIDE_HOURS


def test_services_travel_with_the_order_because_only_the_ledger_knows_the_meter() -> None:
    """A request that names none is judged there; where everything may be sold nothing travels."""
    bench = Bench(sells={"services": ["water"]})
    bench.send(recharge())
    (order,) = bench.ledger.reserve.asked
    assert order.services is not None
    assert [service.name for service in order.services] == ["WATER"]
    bench = Bench()
    bench.send(recharge())
    assert bench.ledger.reserve.asked[0].services is None


def test_above_its_rate_a_network_is_told_to_wait() -> None:
    """Unsigned code 90 before any work; a repeat is told that nothing is known; echo goes on; time makes room."""
    bench = Bench(requests_per_second_max=1, requests_burst_max=2)
    for number in (1, 2):
        assert bench.send(recharge(stan=f"00000{number}", meter=f"3700000000{number}")).code is ResponseCode.APPROVED
    sent = bench.send(recharge(stan="000003"))
    assert (sent.code, sent.is_signed) == (ResponseCode.OVERLOADED, False)
    assert bench.send(recharge("0201", stan="000001")).code is ResponseCode.IN_PROGRESS
    assert bench.send(network("301")).code is ResponseCode.APPROVED
    bench.wait(1.1)
    assert bench.send(recharge(stan="000004")).code is ResponseCode.APPROVED


def test_a_network_is_told_in_its_own_spelling() -> None:
    """In stored answers too, and the signature is over what is sent."""
    bench = Bench(sells=NIGHT, response_codes={"outside_hours": "05"})
    (frame,) = bench.send(recharge()).frames
    assert frame is not None
    assert DATAFONO.decode(frame[5:]).text(39) == "05"
    (again,) = bench.send(recharge("0201")).frames
    assert again == frame


def test_a_spelling_that_does_not_fit_is_told_with_its_key() -> None:
    """The path is that of the file."""
    section = _section(Bench(), response_codes={"float_short": "00", "overpaid": "123"})
    assert {complaint.key for complaint in dialect_complaints(section)} == {
        "acquirers.banco.response_codes.float_short",
        "acquirers.banco.response_codes.overpaid",
    }


def test_another_configuration_counts_what_the_last_one_has_in_work() -> None:
    """The limit of a network holds across a change, and what is in work ends as it began."""
    bench = Bench(in_flight_max=1, connection_in_flight_max=1)
    bench.module.verifying.plan(HANG)
    first = bench.send(recharge())
    bench.exchange = exchange_of(_section(bench, sells=NIGHT), bench.shared, bench.exchange)
    assert bench.send(recharge(stan="000002")).code is ResponseCode.OVERLOADED
    bench.module.verifying.release()
    assert first.code is ResponseCode.APPROVED
    assert bench.send(recharge(stan="000003")).code is ResponseCode.OUTSIDE_HOURS
    assert bench.exchange.load.in_work == 0
