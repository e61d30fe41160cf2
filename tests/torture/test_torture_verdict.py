"""The verdict: good books are good, and each thing that must never happen is seen."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from torture.seen import BookedSale, Books, MeterEntry, RequestKey, Seen, StoredAnswer
from torture.verdict import Verdict, judge

PIN = "12345678901234567890"
OTHER_PIN = "98765432109876543210"


def key(stan: int, message_class: str = "0200") -> RequestKey:
    moment = datetime(2026, 7, 1, 12, 0, 0, tzinfo=UTC)
    return RequestKey(terminal_id="T0000001", transmitted_at=moment, stan=f"{stan:06}", message_class=message_class)


def seen(stan: int, code: str | None = "00", pins: tuple[str, ...] = (PIN,)) -> Seen:
    answer = None if code is None else f"answer {stan} {code}".encode()
    return Seen(key=key(stan), code=code, answer=answer, pins=pins, attempts=1)


def sale(stan: int, state: str = "posted", digits: tuple[str | None, ...] = (PIN,)) -> BookedSale:
    return BookedSale(sale_id=1000 + stan, key=key(stan), state=state, digits=digits)


def stored(stan: int, code: str = "00") -> StoredAnswer:
    return StoredAnswer(code=code, answer=f"answer {stan} {code}".encode())


class Case:
    """Two sales, approved and booked, one refused for good, one refused for the moment, one undone, one that stood: all as it must be."""

    def __init__(self) -> None:
        self.seen = [
            seen(1),
            seen(2, pins=(OTHER_PIN,)),
            seen(3, "14", ()),
            seen(4, "91", ()),
            seen(5, None, ()),
            Seen(key=key(6, "0400"), original=key(5), code="25", answer=b"answer 6 25"),
            Seen(key=key(7, "0400"), original=key(1), code="21", answer=b"answer 7 21", pins=(PIN,)),
        ]
        self.books = Books(
            journal={
                key(1): stored(1),
                key(2): stored(2),
                key(3): stored(3, "14"),
                key(6, "0400"): stored(6, "25"),
                key(7, "0400"): stored(7, "21"),
            },
            sales=(sale(1), sale(2, digits=(OTHER_PIN,))),
            minted=frozenset({1001, 1002}),
        )
        self.entries = [MeterEntry(meter_number="37000000002", sale_id=1001, first="Accept", second="UsedError")]
        self.differences: list[object] = []

    def verdict(self) -> Verdict:
        return judge(self.seen, self.books, self.entries, self.differences)

    def book(self, *sales: BookedSale) -> None:
        self.books = replace(self.books, sales=sales, minted=frozenset(each.sale_id for each in sales))


def test_what_is_right_is_right() -> None:
    """A run in which nothing went wrong holds."""
    verdict = Case().verdict()
    assert verdict.holds, verdict


def lose_a_sale(case: Case) -> None:
    case.book(sale(1))


def void_a_sold_sale(case: Case) -> None:
    case.book(sale(1), sale(2, "void", (None,)))


def post_other_digits(case: Case) -> None:
    case.book(sale(1), sale(2, digits=("5" * 20,)))


def book_a_pin_twice(case: Case) -> None:
    case.book(sale(1), sale(2))


def hand_a_pin_out_twice(case: Case) -> None:
    case.seen[1] = seen(2)


def post_a_request_twice(case: Case) -> None:
    case.book(*case.books.sales, replace(sale(1, digits=("5" * 20,)), sale_id=1009))


def mint_without_a_sale(case: Case) -> None:
    case.books = replace(case.books, minted=case.books.minted | {1099})


def post_without_minting(case: Case) -> None:
    case.books = replace(case.books, minted=frozenset({1001}))


def post_without_digits(case: Case) -> None:
    case.book(sale(1), sale(2, digits=(None,)))


def sell_what_was_refused(case: Case) -> None:
    case.book(*case.books.sales, sale(4, digits=("5" * 20,)))


def sell_what_was_undone(case: Case) -> None:
    case.book(*case.books.sales, sale(5, digits=("5" * 20,)))


def sell_to_nobody(case: Case) -> None:
    case.book(*case.books.sales, sale(8, digits=("5" * 20,)))


def answer_other_octets(case: Case) -> None:
    case.seen[2].answer = b"something else"


def answer_without_storing(case: Case) -> None:
    case.books = replace(case.books, journal={key(1): stored(1), key(3): stored(3, "14")})


def answer_a_repeat_with_other_octets(case: Case) -> None:
    case.seen[0].other_answers = 1


def never_answer(case: Case) -> None:
    case.seen.append(seen(9, None, ()))


def leave_a_sale_open(case: Case) -> None:
    case.book(*case.books.sales, sale(9, "reserved", (None,)))


def take_a_pin_twice(case: Case) -> None:
    case.entries[0] = replace(case.entries[0], second="Accept")


def refuse_a_sold_pin(case: Case) -> None:
    case.entries[0] = replace(case.entries[0], first="CRCError")


def disagree_with_the_ledger(case: Case) -> None:
    case.differences.append({"check": "postings-sum-to-zero"})


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lose_a_sale, "lost"),
        (void_a_sold_sale, "lost"),
        (post_other_digits, "lost"),
        (book_a_pin_twice, "twice"),
        (hand_a_pin_out_twice, "twice"),
        (post_a_request_twice, "twice"),
        (mint_without_a_sale, "orphans"),
        (post_without_minting, "orphans"),
        (post_without_digits, "orphans"),
        (sell_what_was_refused, "unclaimed"),
        (sell_what_was_undone, "unclaimed"),
        (sell_to_nobody, "unclaimed"),
        (answer_other_octets, "differing"),
        (answer_without_storing, "differing"),
        (answer_a_repeat_with_other_octets, "differing"),
        (never_answer, "unanswered"),
        (leave_a_sale_open, "reserved"),
        (take_a_pin_twice, "meters"),
        (refuse_a_sold_pin, "meters"),
        (disagree_with_the_ledger, "ledger"),
    ],
)
def test_each_harm_is_seen(spoil: Callable[[Case], None], found: str) -> None:
    """A verdict that could not turn red would be worth nothing: each harm alone is found under its name."""
    case = Case()
    spoil(case)
    verdict = case.verdict()
    assert not verdict.holds
    assert verdict.as_json()[found]


def test_a_verdict_shows_no_pin() -> None:
    """The report of a broken run goes into logs and mails: it names sales, never PINs."""
    case = Case()
    for spoil in (book_a_pin_twice, hand_a_pin_out_twice, take_a_pin_twice):
        spoil(case)
    shown = str(case.verdict()) + str(case.verdict().as_json())
    assert PIN not in shown
    assert OTHER_PIN not in shown
