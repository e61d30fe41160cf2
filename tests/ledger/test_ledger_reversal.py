"""Reversals find their original, are journaled once, and bar an original that comes too late."""

from dataclasses import replace

from ledger.reversal import find_originals
from tests.ledger.books import BLOCKED, Books, post_of, void_of
from vending.money import Centavos
from vending.order import AnswerRecord, Conflict, Declined, OriginalFound, Repeated
from vending.response_code import ResponseCode


def test_a_posted_original_comes_with_its_tokens(books: Books) -> None:
    """The answer to a declined reversal carries the token, so the till can print it."""
    order = books.order()
    sale = books.sell(order)
    (found,) = find_originals(books.engine, [books.reversal(order)])
    assert isinstance(found, OriginalFound)
    assert found.code is ResponseCode.APPROVED
    assert tuple(found.tokens) == tuple(post_of(sale).tokens)
    assert (found.is_posted, found.sale, found.original_request) == (True, sale, order.request)
    assert books.check().agree


def test_an_original_whose_outcome_is_open_is_looked_at_again(books: Books) -> None:
    """While the sale is reserved there is no token to show; the same reversal later sees what became of it."""
    order = books.order()
    sale = books.reserve_one(order)
    (found,) = find_originals(books.engine, [books.reversal(order)])
    assert found == OriginalFound(code=None, sale=sale, is_posted=False, tokens=(), original_request=order.request)
    books.post(post_of(sale))
    (found,) = find_originals(books.engine, [books.reversal(order)])
    assert isinstance(found, OriginalFound)
    assert found.is_posted
    assert books.check().agree


def test_a_declined_or_void_original_has_no_sale(books: Books) -> None:
    """There is nothing to undo, and the code says why."""
    declined, voided = books.order(BLOCKED), books.order()
    books.reserve(declined)
    books.post(void_of(books.reserve_one(voided)))
    found = find_originals(books.engine, [books.reversal(declined), books.reversal(voided)])
    assert [(each.code, each.sale) for each in found if isinstance(each, OriginalFound)] == [
        (ResponseCode.METER_BLOCKED, None),
        (ResponseCode.MODULE_REFUSED, None),
    ]
    assert books.check().agree


def test_a_repeated_reversal_gets_its_stored_answer(books: Books) -> None:
    """Byte for byte; with other content it is a conflict."""
    order = books.order()
    books.sell(order)
    reversal = books.reversal(order)
    find_originals(books.engine, [reversal])
    books.post(AnswerRecord(key=reversal.key, code=ResponseCode.SALE_STANDS, answer=b"stands"))
    assert find_originals(books.engine, [reversal]) == [Repeated(answer=b"stands", code=ResponseCode.SALE_STANDS)]
    assert find_originals(books.engine, [replace(reversal, digest=b"other")]) == [Conflict()]


def test_an_unknown_original_is_barred(books: Books) -> None:
    """A sale that arrives after its reversal was answered "not found" must not be sold."""
    order = books.order()
    reversal = books.reversal(order)
    (result,) = find_originals(books.engine, [reversal])
    assert isinstance(result, Declined)
    assert result.code is ResponseCode.ORIGINAL_NOT_FOUND
    assert books.reserve(order) == [Conflict()]
    again = replace(reversal, key=replace(reversal.key, stan="999999"), digest=b"another")
    (result,) = find_originals(books.engine, [again])
    assert isinstance(result, Declined)
    assert books.check().agree


def test_somebody_elses_sale_or_another_amount_is_not_found(books: Books) -> None:
    """A reversal undoes only what its own terminal sold, for the same money, and bars nothing else."""
    order = books.order()
    sale = books.reserve_one(order)
    stranger = books.reversal(order)
    stranger = replace(stranger, key=replace(stranger.key, terminal_id="T0000002"))
    cheaper = replace(books.reversal(order), paid_centavos=Centavos(1))
    results = find_originals(books.engine, [stranger, cheaper])
    assert [result.code for result in results if isinstance(result, Declined)] == [ResponseCode.ORIGINAL_NOT_FOUND] * 2
    books.post(post_of(sale))
    assert books.check().agree


def test_twins_within_a_batch(books: Books) -> None:
    """The same reversal twice in a batch is one row and two equal results; with other content a conflict."""
    order = books.order()
    reversal = books.reversal(order)
    results = find_originals(books.engine, [reversal, reversal, replace(reversal, digest=b"other")])
    assert results[0] == results[1]
    assert results[2] == Conflict()
    assert books.value("SELECT count(*) FROM journal") == 2


def test_an_advice_is_journaled_beside_a_reversal(books: Books) -> None:
    """With the same STAN and time as sale and reversal it still has a key of its own, and finds what is true then."""
    order = books.order()
    sale = books.reserve_one(order)
    asked = books.reversal(order)
    advised = replace(asked, key=replace(asked.key, message_class="0420"), digest=b"advice")
    (before,) = find_originals(books.engine, [asked])
    assert isinstance(before, OriginalFound)
    assert not before.is_posted
    books.post(post_of(sale))
    (after,) = find_originals(books.engine, [advised])
    assert isinstance(after, OriginalFound)
    assert (after.is_posted, after.sale) == (True, sale)
    assert books.value("SELECT count(*) FROM journal") == 3
    assert books.check().agree


def test_an_advice_for_what_was_declined_is_approved_and_agrees(books: Books) -> None:
    """Approved without a sale: the proof knows that an advice may be."""
    order = books.order(BLOCKED)
    books.reserve(order)
    advised = books.reversal(order, key=replace(order.key, message_class="0420"))
    (found,) = find_originals(books.engine, [advised])
    assert isinstance(found, OriginalFound)
    assert found.sale is None
    books.post(AnswerRecord(key=advised.key, code=ResponseCode.APPROVED, answer=b"nothing to undo"))
    assert books.check().differences == ()


def test_an_advice_that_comes_first_bars_the_original(books: Books) -> None:
    """Whichever of the two forms overtook the sale; and the other form then finds it barred, not unknown."""
    order = books.order()
    advised = books.reversal(order, key=replace(order.key, message_class="0420"))
    (result,) = find_originals(books.engine, [advised])
    assert isinstance(result, Declined)
    assert books.reserve(order) == [Conflict()]
    (result,) = find_originals(books.engine, [books.reversal(order)])
    assert isinstance(result, Declined)
    assert result.code is ResponseCode.ORIGINAL_NOT_FOUND
    assert books.value("SELECT count(*) FROM sale") == 0
    assert books.check().agree


def test_the_stan_of_another_terminal_bars_only_ones_own(books: Books) -> None:
    """Data element 90 has no room for a terminal: the original is looked for among one's own, and the other's sale goes on."""
    order = books.order()
    mine = replace(order.key, terminal_id="T0000002")
    advised = replace(books.reversal(order), key=replace(mine, message_class="0420", stan="777777"), original=mine)
    (result,) = find_originals(books.engine, [advised])
    assert isinstance(result, Declined)
    assert result.code is ResponseCode.ORIGINAL_NOT_FOUND
    assert books.sell(order).paid_centavos == order.paid_centavos
    assert books.reserve(replace(order, key=mine)) == [Conflict()]
    assert books.check().agree
