"""Payments to obligations without a token."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vending.deductions import Charge, Deduction, Obligation
from vending.money import Centavos, Tenths
from vending.payment import pay_obligations
from vending.quote import Quote
from vending.response_code import Refusal, ResponseCode


def debt(identity: str, due: date, capital: int, interest: int = 0, *, is_disputed: bool = False) -> Obligation:
    """Return an obligation; its priority runs against its age, to show that age decides."""
    return Obligation(
        id=identity,
        priority=100 - due.month,
        due=due,
        capital_centavos=Centavos(capital),
        interest_centavos=Centavos(interest),
        is_disputed=is_disputed,
    )


MARCH = debt("marzo", date(2026, 3, 31), 1_000, 50)
APRIL = debt("abril", date(2026, 4, 30), 2_000, 70)
DISPUTED = debt("reclamo", date(2026, 1, 31), 9_000, is_disputed=True)
ASEO = Charge(id="aseo", priority=1, due=date(2026, 1, 1), owed_centavos=Centavos(600), full_centavos=Centavos(600))
ACCOUNT: tuple[Deduction, ...] = (APRIL, ASEO, DISPUTED, MARCH)


def pay(amount: int, obligation: str | None = None, account: tuple[Deduction, ...] = ACCOUNT) -> Quote:
    """Pay *amount* on *account*."""
    return pay_obligations(
        account, amount_centavos=Centavos(amount), obligation=obligation, month_to_date_tenths=Tenths(1234)
    )


@pytest.mark.parametrize(
    ("amount", "obligation", "lines"),
    [
        (30, None, [("marzo", 30, 0, 1_020)]),
        (1_050, None, [("marzo", 50, 1_000, 0)]),
        (1_130, None, [("marzo", 50, 1_000, 0), ("abril", 70, 10, 1_990)]),
        (3_120, None, [("marzo", 50, 1_000, 0), ("abril", 70, 2_000, 0)]),
        (100, "abril", [("abril", 70, 30, 1_970)]),
        (9_000, "reclamo", [("reclamo", 0, 9_000, 0)]),
    ],
)
def test_oldest_and_interest_first(amount: int, obligation: str | None, lines: list[tuple[str, int, int, int]]) -> None:
    """Money goes to the oldest debt and to its interest; a disputed one only gets what is meant for it by name."""
    answer = pay(amount, obligation)
    assert [
        (line.id, line.interest_centavos, line.capital_centavos, line.left_centavos) for line in answer.taken
    ] == lines
    assert answer.paid_centavos == amount
    assert answer.token_units_tenths == ()
    assert answer.month_to_date_tenths == 1234


@pytest.mark.parametrize(
    ("amount", "obligation", "account", "code"),
    [
        (100, None, (), ResponseCode.NOTHING_OWED),
        (100, None, (ASEO, DISPUTED), ResponseCode.NOTHING_OWED),
        (100, "marzo", (debt("marzo", date(2026, 3, 31), 0),), ResponseCode.NOTHING_OWED),
        (100, "mayo", ACCOUNT, ResponseCode.UNKNOWN_OBLIGATION),
        (100, "aseo", ACCOUNT, ResponseCode.UNKNOWN_OBLIGATION),
        (3_121, None, ACCOUNT, ResponseCode.OVERPAID),
        (1_051, "marzo", ACCOUNT, ResponseCode.OVERPAID),
        (0, None, ACCOUNT, ResponseCode.AMOUNT_INVALID),
    ],
)
def test_refusals(amount: int, obligation: str | None, account: tuple[Deduction, ...], code: ResponseCode) -> None:
    """What cannot be paid is refused by name, and more than is owed is never kept."""
    with pytest.raises(Refusal) as caught:
        pay(amount, obligation, account)
    assert caught.value.code is code


@given(
    debts=st.lists(st.tuples(st.integers(1, 12), st.integers(0, 5_000), st.integers(0, 500)), min_size=1, max_size=6),
    amount=st.integers(1, 40_000),
)
def test_money_is_spread_whole(debts: list[tuple[int, int, int]], amount: int) -> None:
    """Every centavo paid lands on a line, and no later debt is touched while an older one is open."""
    account = tuple(
        debt(f"d{index}", date(2026, month, 1), capital, interest)
        for index, (month, capital, interest) in enumerate(debts)
    )
    owed = sum(capital + interest for _, capital, interest in debts)
    if amount > owed:
        with pytest.raises(Refusal):
            pay(amount, account=account)
        return
    lines = pay(amount, account=account).taken
    assert sum(line.amount_centavos for line in lines) == amount
    assert all(line.left_centavos == 0 for line in lines[:-1])
    assert all(line.capital_centavos == 0 or line.interest_centavos == _interest(account, line.id) for line in lines)


def _interest(account: tuple[Obligation, ...], identity: str) -> int:
    return next(item.interest_centavos for item in account if item.id == identity)
