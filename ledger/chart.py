"""The chart of accounts: the fixed accounts with their numbers.

Signs: a debit is positive and a credit negative, everywhere, so a liability with money in it has a negative balance.
Each acquirer has two more accounts of its own, a float and a commission, numbered from `FIRST_ACQUIRER_ACCOUNT` up.
"""

from enum import Enum, IntEnum

from vending.service import Service


class AccountKind(Enum):
    """What an account is in a balance sheet."""

    ASSET = "asset"
    LIABILITY = "liability"
    REVENUE = "revenue"
    EXPENSE = "expense"
    EQUITY = "equity"


class Account(IntEnum):
    """The fixed accounts; the value is the row's id and never changes its meaning."""

    BANK = 100
    """Money of acquirers that was deposited with the utility."""
    CASH_AT_POINTS = 110
    CASH_WITH_LEADERS = 111
    SUBSIDIES_RECEIVABLE = 200
    OBLIGATION_CAPITAL_RECEIVABLE = 210
    """Control account of ``obligation.capital_centavos`` of kind obligation."""
    OBLIGATION_INTEREST_RECEIVABLE = 211
    """Control account of ``obligation.interest_centavos``."""
    EMERGENCY_RECEIVABLE = 212
    """Control account of emergency credit that was handed out and not yet paid back."""
    THIRD_PARTY_RECEIVABLE = 213
    """Control account of charges billed for third parties (aseo) and not yet collected."""
    COMMISSION_TAX = 220
    """Tax on commissions: the utility owes it to the networks with them; whether it may deduct it is for its accountants."""
    CUSTOMER_REMAINDERS = 300
    """Control account of ``meter.remainder_centavos``: paid, but too little for another tenth."""
    CONTRIBUTIONS_PAYABLE = 310
    THIRD_PARTY_PAYABLE = 311
    PARKED_TOKENS = 312
    REVENUE_ENERGY = 400
    REVENUE_WATER = 401
    REVENUE_GAS = 402
    COMMISSION_COST = 500
    ADJUSTMENTS = 510
    OPENING_EQUITY = 900


FIRST_ACQUIRER_ACCOUNT = 1000
"""Acquirers' accounts are numbered from here: they are the hottest rows, and accounts are locked in ascending order."""

REVENUE_OF_SERVICE = {
    Service.ENERGY: Account.REVENUE_ENERGY,
    Service.WATER: Account.REVENUE_WATER,
    Service.GAS: Account.REVENUE_GAS,
}

RECEIVABLE_OF_KIND = {
    "charge": Account.THIRD_PARTY_RECEIVABLE,
    "emergency": Account.EMERGENCY_RECEIVABLE,
    "obligation": Account.OBLIGATION_CAPITAL_RECEIVABLE,
}
"""Where the capital of a deduction stands, by its kind; interest stands in its own account."""


def kind_of(account: Account) -> AccountKind:
    """Return the kind of a fixed account, by the hundreds of its number."""
    if account is Account.OPENING_EQUITY:
        return AccountKind.EQUITY
    hundreds = account.value // 100
    return {
        1: AccountKind.ASSET,
        2: AccountKind.ASSET,
        3: AccountKind.LIABILITY,
        4: AccountKind.REVENUE,
        5: AccountKind.EXPENSE,
    }[hundreds]


def code_of(account: Account) -> str:
    """Return the stable name of a fixed account, as reports show it."""
    return account.name.lower().replace("_", "-")
