"""A sale that changes its meter's key: its codes first, then the credit; refused, nothing is sold; asked again, the same."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from pos.answers import read_pins, read_sale
from tests.switch.sale_bench import PIN, Bench, recharge
from tests.switch.test_recharge import NO_MODULE, REFUSED
from vending.key_change import KeyChange
from vending.order import Reserved, ReserveResult, SaleOrder, SalePost, SaleVoid
from vending.response_code import ResponseCode

CHANGE = KeyChange(mint_id=900, from_register_id=2, from_tariff_index=1, sections=2, is_rollover=False)


def changing(bench: Bench) -> None:
    """Let the ledger reserve every sale with a key change."""
    reserve: Callable[[SaleOrder], ReserveResult] = bench.ledger.reserve._default

    def with_change(order: SaleOrder) -> ReserveResult:
        result = reserve(order)
        if isinstance(result, Reserved):
            sale = replace(result.sale, key_change=CHANGE)
            bench.ledger.sales[sale.key] = sale
            return Reserved(sale=sale)
        return result

    bench.ledger.reserve._default = with_change


def test_the_codes_stand_before_the_credit_and_are_stored_with_the_sale() -> None:
    """In 62 first, counted in 63, posted with the sale; the key change is asked for before the credit."""
    bench = Bench()
    changing(bench)
    sent = bench.send(recharge())
    assert sent.code is ResponseCode.APPROVED
    pins = [pin.reveal() for pin in read_pins(sent.message)]
    assert len(pins) == 3
    assert pins[-1] == PIN
    assert read_sale(sent.message).key_change_tokens == 2
    (asked,) = bench.module.key_changing.asked
    assert (asked.request_id, asked.from_register_id, asked.to_register_id, asked.sections) == (900, 2, 3, 2)
    (posting,) = bench.ledger.postings
    assert isinstance(posting, SalePost)
    assert posting.sale.key_change is not None
    assert [token.reveal() for token in posting.sale.key_change.tokens] == pins[:2]
    assert bench.events.index("key change asked") < bench.events.index("mint asked")


def test_a_key_change_that_the_module_refuses_voids_the_sale() -> None:
    """No credit was minted yet, so nothing has to be taken back."""
    bench = Bench()
    changing(bench)
    bench.module.key_changing.plan(REFUSED)
    assert bench.send(recharge()).code is ResponseCode.MODULE_REFUSED
    assert bench.module.minting.asked == []
    assert [type(posting) for posting in bench.ledger.postings] == [SaleVoid]


@pytest.mark.parametrize("error", NO_MODULE, ids=repr)
def test_a_key_change_without_an_answer_leaves_the_sale_reserved(error: Exception) -> None:
    """Its repeat asks again under the same id."""
    bench = Bench()
    changing(bench)
    bench.module.key_changing.plan(error)
    assert bench.send(recharge()).code is ResponseCode.IN_PROGRESS
    assert bench.ledger.postings == []
    assert bench.module.minting.asked == []
