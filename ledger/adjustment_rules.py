"""Posting rules of adjustments, pure: which accounts the money of one moves. The lines of every entry sum to zero."""

from ledger.chart import Account
from ledger.rules import PostingLine
from vending.adjustment import AdjustmentKind
from vending.money import Centavos

AGAINST = {
    AdjustmentKind.REFUND: Account.BANK,
    AdjustmentKind.CREDIT: Account.CUSTOMER_REMAINDERS,
}
"""Where the money goes: out of the bank to the customer, or to what the meter's next sale carries in. Tokens move no money."""


def adjustment_lines(kind: AdjustmentKind, amount_centavos: Centavos) -> list[PostingLine]:
    """Return the lines that post one adjustment of money, in ascending order of their accounts.

    The sale's own entry stays as it is: its token exists and its revenue was earned. What is given back is a cost.
    """
    assert amount_centavos > 0, "an adjustment of money has money"
    against = AGAINST[kind]
    return [
        PostingLine(against, -amount_centavos, is_remainder=against is Account.CUSTOMER_REMAINDERS),
        PostingLine(Account.ADJUSTMENTS, amount_centavos),
    ]
