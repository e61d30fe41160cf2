"""A payment to obligations without a token: money for old debts only, no units."""

from collections.abc import Sequence

from vending.deductions import Deduction, Obligation, Taken
from vending.money import Centavos, Tenths
from vending.quote import Quote, assert_identities
from vending.response_code import Refusal, ResponseCode


def pay_obligations(
    deductions: Sequence[Deduction],
    *,
    amount_centavos: Centavos,
    obligation: str | None = None,
    month_to_date_tenths: Tenths,
) -> Quote:
    """Split a payment over what is owed: the oldest due first, and of each the interest first (Código Civil art. 1653).

    The customer's remainder is not touched: both its sides are zero in the answer.

    Args:
        deductions: the account's, in any order; charges and emergency credit wait for the next recharge.
        amount_centavos: the money handed over.
        obligation: the only one to pay, even a disputed one (it is the customer's own wish); None: all that are not disputed.
        month_to_date_tenths: bought this month; returned as it is.

    Returns:
        A quote without units, so that it is posted as a sale is.

    Raises:
        Refusal: ``UNKNOWN_OBLIGATION``, ``NOTHING_OWED``, ``AMOUNT_INVALID`` or ``OVERPAID``.
    """
    payable = _select_payable(deductions, obligation)
    owed = sum(item.owed_centavos for item in payable)
    if owed <= 0:
        raise Refusal(ResponseCode.NOTHING_OWED)
    if amount_centavos < 1:
        raise Refusal(ResponseCode.AMOUNT_INVALID)
    if amount_centavos > owed:
        raise Refusal(ResponseCode.OVERPAID, f"owed {owed}")
    answer = Quote(
        paid_centavos=amount_centavos,
        carried_in_centavos=Centavos(0),
        units_tenths=Tenths(0),
        charged_centavos=Centavos(0),
        carried_out_centavos=Centavos(0),
        full_cost_centavos=Centavos(0),
        subsidy_centavos=Centavos(0),
        contribution_centavos=Centavos(0),
        voluntary=None,
        taken=_spread(payable, amount_centavos),
        blocks=(),
        token_units_tenths=(),
        month_to_date_tenths=month_to_date_tenths,
    )
    assert_identities(answer)
    return answer


def _select_payable(deductions: Sequence[Deduction], obligation: str | None) -> list[Obligation]:
    obligations = [item for item in deductions if isinstance(item, Obligation)]
    if obligation is None:
        open_items = [item for item in obligations if not item.is_disputed]
        return sorted(open_items, key=lambda item: (item.due, item.priority, item.id))
    named = [item for item in obligations if item.id == obligation]
    if not named:
        raise Refusal(ResponseCode.UNKNOWN_OBLIGATION, obligation)
    return named[:1]


def _spread(payable: Sequence[Obligation], amount_centavos: int) -> tuple[Taken, ...]:
    left = amount_centavos
    lines: list[Taken] = []
    for item in payable:
        amount = min(left, item.owed_centavos)
        if amount > 0:
            lines.append(item.take(amount))
            left -= amount
    return tuple(lines)
