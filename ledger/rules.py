"""Posting rules, pure: which accounts a sale moves and by how much. The lines of every sale sum to zero.

A recharge turns the acquirer's deposit into revenue at full cost, with what the state pays (subsidy) and what the state gets
(contribution) beside it, into what the customer owed, and into the change in the customer's remainder:

    paid - full_cost + subsidy - contribution - taken - voluntary + (carried_in - carried_out) = 0

which is the sum of the two identities of a quote. What a recharge claims of parked tokens goes through the account of parked tokens:
there the money stood since it went back to the network that had sold them.
"""

from typing import NamedTuple

from ledger.chart import RECEIVABLE_OF_KIND, REVENUE_OF_SERVICE, Account
from vending.commission import Commission
from vending.deductions import Taken
from vending.quote import Quote
from vending.service import Service

CAPITAL = "capital"
INTEREST = "interest"


class PostingLine(NamedTuple):
    """One line of an entry. ``obligation`` is the obligation's code and ``is_remainder`` marks the meter's own line."""

    account_id: int
    amount_centavos: int
    obligation: str | None = None
    part: str | None = None
    is_remainder: bool = False


def sale_lines(
    quote: Quote,
    service: Service,
    *,
    float_account_id: int,
    commission_account_id: int,
    commission: Commission,
    claimed_centavos: int = 0,
) -> list[PostingLine]:
    """Return the lines that post one sale, a recharge or a payment. No line has an amount of zero.

    Args:
        quote: of what is left of the payment after *claimed_centavos*.
        service: of the meter.
        float_account_id: the acquirer's deposit, which pays for everything.
        commission_account_id: the acquirer's earnings.
        commission: on the whole payment, with its tax.
        claimed_centavos: what the parked tokens cost that the sale hands out.
    """
    lines = [
        PostingLine(float_account_id, quote.paid_centavos + claimed_centavos),
        PostingLine(Account.PARKED_TOKENS, -claimed_centavos),
        PostingLine(REVENUE_OF_SERVICE[service], -quote.full_cost_centavos),
        PostingLine(Account.SUBSIDIES_RECEIVABLE, quote.subsidy_centavos),
        PostingLine(Account.CONTRIBUTIONS_PAYABLE, -quote.contribution_centavos),
        PostingLine(
            Account.CUSTOMER_REMAINDERS, quote.carried_in_centavos - quote.carried_out_centavos, is_remainder=True
        ),
        PostingLine(Account.COMMISSION_COST, commission.centavos),
        PostingLine(Account.COMMISSION_TAX, commission.tax_centavos),
        PostingLine(commission_account_id, -commission.centavos - commission.tax_centavos),
    ]
    for taken in quote.taken:
        lines += _taken_lines(taken)
    if quote.voluntary is not None:
        lines += _taken_lines(quote.voluntary)
    return [line for line in lines if line.amount_centavos]


def parking_lines(
    *, paid_centavos: int, float_account_id: int, commission_account_id: int, commission: Commission
) -> list[PostingLine]:
    """Return the lines that give a sale's money and commission, with its tax, back and hold its price on the parked tokens.

    Revenue, obligations, month and remainder stay as they were sold: the token exists, and whoever claims it pays for all of them.
    """
    lines = [
        PostingLine(Account.PARKED_TOKENS, paid_centavos),
        PostingLine(float_account_id, -paid_centavos),
        PostingLine(Account.COMMISSION_COST, -commission.centavos),
        PostingLine(Account.COMMISSION_TAX, -commission.tax_centavos),
        PostingLine(commission_account_id, commission.centavos + commission.tax_centavos),
    ]
    return [line for line in lines if line.amount_centavos]


def deposit_lines(float_account_id: int, amount_centavos: int) -> list[PostingLine]:
    """Return the lines that book money which a network paid in; below zero they take back what was booked too much."""
    return [PostingLine(Account.BANK, amount_centavos), PostingLine(float_account_id, -amount_centavos)]


def _taken_lines(taken: Taken) -> tuple[PostingLine, PostingLine]:
    capital = taken.amount_centavos - taken.interest_centavos
    return (
        PostingLine(RECEIVABLE_OF_KIND[taken.kind], -capital, taken.id, CAPITAL),
        PostingLine(Account.OBLIGATION_INTEREST_RECEIVABLE, -taken.interest_centavos, taken.id, INTEREST),
    )
