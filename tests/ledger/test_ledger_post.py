"""Commit 2: posting once, voiding without a trace, the stored answer, payments, commission, outbox."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.ledger.books import DEPOSIT, INDEBTED, PLAIN, Books, post_of, void_of
from vending.money import Centavos
from vending.order import AnswerRecord, Posted, Unresolved
from vending.response_code import ResponseCode


def test_a_posted_sale_moves_everything(books: Books) -> None:
    """Float, commission, debts, month, remainder, token, journal and outbox all show the sale, and the proof agrees."""
    order = books.order(INDEBTED)
    sale = books.reserve_one(order)
    assert books.post(post_of(sale, b"answer")) == [Posted(answer=b"answer", code=ResponseCode.APPROVED)]
    assert tuple(books.float_row()) == (-DEPOSIT + sale.paid_centavos, 0)
    assert books.value("SELECT balance_centavos FROM account WHERE code = 'commission:banco'") == -30_000
    meter = books.row("SELECT held_by, month, month_to_date_tenths, remainder_centavos FROM meter WHERE id = 2")
    assert tuple(meter) == (None, 202608, sale.quote.units_tenths, sale.quote.carried_out_centavos)
    debts = {
        row.code: row
        for row in [
            books.row("SELECT * FROM obligation WHERE code = :code", code=code)
            for code in ("aseo", "precarga", "mora", "reclamo")
        ]
    }
    assert (debts["aseo"].status, debts["aseo"].full_centavos) == ("settled", 0)
    assert debts["precarga"].status == "settled"
    assert (debts["mora"].capital_centavos, debts["mora"].interest_centavos) == (6_000_000, 10_000)
    assert debts["mora"].instalment_due_centavos == 0
    assert debts["reclamo"].capital_centavos == 900_000
    assert books.value("SELECT count(*) FROM outbox WHERE sale_id = :id", id=sale.sale_id) == 1
    assert books.check().agree


def test_a_charge_paid_in_parts_keeps_its_own_subsidy(books: Books) -> None:
    """The full cost of a charge shrinks with what was paid, so the parts' subsidies add up to the whole one."""
    books.execute("UPDATE obligation SET status = 'settled', capital_centavos = 0 WHERE code <> 'aseo'")
    subsidies = [
        taken.subsidy_centavos
        for _ in range(4)
        for taken in books.sell(books.order(INDEBTED, 250_000)).quote.taken
        if taken.id == "aseo"
    ]
    assert len(subsidies) == 3
    assert sum(subsidies) == 150_000


def test_posting_twice_is_impossible_and_answers_what_was_stored(books: Books) -> None:
    """The second post of a sale, or its void, changes nothing and gets the first answer back."""
    sale = books.reserve_one(books.order())
    books.post(post_of(sale, b"first"))
    stored = Posted(answer=b"first", code=ResponseCode.APPROVED)
    assert books.post(post_of(sale, b"second")) == [stored]
    assert books.post(void_of(sale)) == [stored]
    assert books.post(post_of(sale, b"third"), void_of(sale)) == [stored, stored]
    assert books.value("SELECT count(*) FROM entry WHERE kind = 'sale'") == 1
    assert books.check().agree


def test_of_two_posts_in_one_batch_the_first_counts(books: Books) -> None:
    """A resolver and a late answer may meet in one batch."""
    sale = books.reserve_one(books.order())
    assert books.post(void_of(sale, b"void"), post_of(sale, b"post")) == [
        Posted(answer=b"void", code=ResponseCode.MODULE_REFUSED),
        Posted(answer=b"void", code=ResponseCode.MODULE_REFUSED),
    ]
    assert books.check().agree


def test_a_void_gives_everything_back(books: Books) -> None:
    """Afterwards only the used token identifier and the journal tell of it."""
    sale = books.reserve_one(books.order(INDEBTED))
    (posted,) = books.post(void_of(sale, b"no token"))
    assert posted == Posted(answer=b"no token", code=ResponseCode.MODULE_REFUSED)
    assert tuple(books.float_row()) == (-DEPOSIT, 0)
    assert books.value("SELECT held_by FROM meter WHERE id = :id", id=INDEBTED) is None
    assert books.value("SELECT remainder_centavos FROM meter WHERE id = :id", id=INDEBTED) == 123
    assert books.value("SELECT count(*) FROM outbox") == 0
    assert books.check().agree


def test_a_payment_is_posted_without_a_token_and_leaves_the_remainder(books: Books) -> None:
    """Money for debts only: interest first, no units, the customer's remainder untouched."""
    sale = books.sell(books.payment(INDEBTED, 300_000))
    assert sale.token_orders == ()
    mora = books.row("SELECT capital_centavos, interest_centavos FROM obligation WHERE code = 'mora'")
    assert tuple(mora) == (5_950_000, 0)
    assert books.value("SELECT remainder_centavos FROM meter WHERE id = :id", id=INDEBTED) == 123
    assert books.value("SELECT month FROM meter WHERE id = :id", id=INDEBTED) == 0
    assert books.check().agree


def test_a_voluntary_payment_is_posted_beside_what_is_taken_anyway(books: Books) -> None:
    """Two lines on one obligation are two postings and one movement of the debt."""
    order = replace(books.order(INDEBTED), voluntary_obligation="mora", voluntary_centavos=Centavos(100_000))
    sale = books.sell(order)
    assert sale.quote.voluntary is not None
    paid = (
        250_000
        + 6_000_000
        - books.value("SELECT capital_centavos + interest_centavos FROM obligation WHERE code = 'mora'")
    )
    assert paid == 240_000 + 100_000
    assert books.check().agree


def test_many_threads_post_one_sale(books: Books) -> None:
    """Whoever wins, everybody gets the same answer and the sale is in the books once."""
    sale = books.reserve_one(books.order())
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda number: books.post(post_of(sale, b"answer %d" % number))[0].answer, range(12)))
    assert len(set(answers)) == 1
    assert books.check().agree


def test_a_record_for_a_request_that_was_never_journaled_is_a_bug(books: Books) -> None:
    """Nothing would be durable, so it is not passed over in silence."""
    order = books.order()
    with pytest.raises(LookupError):
        books.post(AnswerRecord(key=order.key, code=ResponseCode.METER_BUSY, answer=b"busy"))


def test_a_record_cannot_answer_for_a_reserved_sale(books: Books) -> None:
    """An interim answer must never become the stored one."""
    order = books.order()
    sale = books.reserve_one(order)
    with pytest.raises(LookupError):
        books.post(AnswerRecord(key=order.key, code=ResponseCode.IN_PROGRESS, answer=b"wait"))
    assert books.reserve(order) == [Unresolved(sale_id=sale.sale_id)]


def test_the_error_of_a_failed_post_shows_no_digits(books: Books) -> None:
    """What the database refuses ends up in logs, and a PIN must not."""
    sale = books.reserve_one(books.order())
    books.execute("ALTER TABLE outbox ADD CONSTRAINT never CHECK (sale_id < 0) NOT VALID")
    with pytest.raises(Exception, match="never") as caught:
        books.post(post_of(sale))
    assert f"{sale.sale_id:018}00" not in str(caught.value)
    assert books.value("SELECT state FROM sale WHERE id = :id", id=sale.sale_id) == "reserved"
    assert books.check().agree


def test_a_batch_of_all_kinds_keeps_its_order(books: Books) -> None:
    """Posts, voids and records of declines go together."""
    declined = books.order("99999999999")
    one, other = books.order(PLAIN), books.order(6)
    sales = [result.sale for result in books.reserve(one, other, declined)[:2]]  # type: ignore[union-attr]
    posted = books.post(
        AnswerRecord(key=declined.key, code=ResponseCode.METER_UNKNOWN, answer=b"declined"),
        void_of(sales[1], b"void"),
        post_of(sales[0], b"post"),
    )
    assert [each.answer for each in posted] == [b"declined", b"void", b"post"]
    assert books.check().agree
