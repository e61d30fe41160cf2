"""What a sale takes before it buys units: charges, emergency credit and obligations.

Each kind knows what it wants of a sale and how an amount taken from it splits; the order among them and the cap over them are the
quote's business (`vending.quote`).
"""

from dataclasses import dataclass
from datetime import date
from typing import ClassVar

from vending.money import BasisPoints, Centavos

BASIS_POINTS_PER_WHOLE = 10_000

NO_MONEY = Centavos(0)
NO_SHARE = BasisPoints(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What one deduction took of one sale.

    Attributes:
        id: the deduction's id.
        kind: "charge", "emergency" or "obligation".
        amount_centavos: everything taken; for an obligation it is ``interest_centavos + capital_centavos``.
        interest_centavos: the part that pays interest (obligations only).
        capital_centavos: the part that pays capital (obligations only).
        left_centavos: what is still owed after it.
        subsidy_centavos: the charge's own subsidy on the part paid; negative where the charge carries a contribution.
    """

    id: str
    kind: str
    amount_centavos: Centavos
    interest_centavos: Centavos = NO_MONEY
    capital_centavos: Centavos = NO_MONEY
    left_centavos: Centavos
    subsidy_centavos: Centavos = NO_MONEY


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """A fixed or third-party charge of a month: aseo, the fixed charge of water.

    Attributes:
        id: unique within the account.
        priority: lower is taken first; ties go by ``due``, then ``id``.
        due: when it falls due.
        owed_centavos: what the customer pays for it.
        full_centavos: its full cost; more than ``owed_centavos`` is a subsidy, less is a contribution.
    """

    kind: ClassVar[str] = "charge"
    id: str
    priority: int
    due: date
    owed_centavos: Centavos
    full_centavos: Centavos

    def wanted(self, paid_centavos: Centavos) -> int:
        """Return what it wants of a sale, whatever was paid: all of it."""
        return self.owed_centavos

    def take(self, amount_centavos: int) -> Taken:
        """Return the line of *amount_centavos* (1 up to what is owed) taken from it. The subsidy is rounded down, on its own."""
        full_centavos = amount_centavos * self.full_centavos // self.owed_centavos
        return Taken(
            id=self.id,
            kind="charge",
            amount_centavos=Centavos(amount_centavos),
            left_centavos=Centavos(self.owed_centavos - amount_centavos),
            subsidy_centavos=Centavos(full_centavos - amount_centavos),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Emergency:
    """Units lent without money at hand, to be given back by the next recharge."""

    kind: ClassVar[str] = "emergency"
    id: str
    priority: int
    due: date
    owed_centavos: Centavos

    def wanted(self, paid_centavos: Centavos) -> int:
        """Return what it wants of a sale, whatever was paid: all of it."""
        return self.owed_centavos

    def take(self, amount_centavos: int) -> Taken:
        """Return the line of *amount_centavos* (1 up to what is owed) taken from it."""
        return Taken(
            id=self.id,
            kind="emergency",
            amount_centavos=Centavos(amount_centavos),
            left_centavos=Centavos(self.owed_centavos - amount_centavos),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Obligation:
    """An old debt or an agreement in instalments.

    Attributes:
        id: unique within the account.
        priority: lower is taken first; ties go by ``due``, then ``id``.
        due: when it fell or falls due.
        capital_centavos: what is owed without interest.
        interest_centavos: simple interest accrued; it is paid first (Código Civil art. 1653).
        instalment_due_centavos: what of an instalment is due now.
        share_basis_points: the part of each payment that goes to it.
        share_overdue_basis_points: the part while it is overdue; None: the same share.
        is_overdue: whether it is overdue.
        minimum_centavos: the least it wants of a sale.
        is_disputed: a disputed sum is not collected (Ley 142 of 1994 art. 155), only accepted when offered.
    """

    kind: ClassVar[str] = "obligation"
    id: str
    priority: int
    due: date
    capital_centavos: Centavos
    interest_centavos: Centavos = NO_MONEY
    instalment_due_centavos: Centavos = NO_MONEY
    share_basis_points: BasisPoints = NO_SHARE
    share_overdue_basis_points: BasisPoints | None = None
    is_overdue: bool = False
    minimum_centavos: Centavos = NO_MONEY
    is_disputed: bool = False

    @property
    def owed_centavos(self) -> int:
        """Capital and interest together."""
        return self.capital_centavos + self.interest_centavos

    def wanted(self, paid_centavos: Centavos) -> int:
        """Return what it wants of a sale of *paid_centavos*; the share is rounded down, in the customer's favour."""
        if self.is_disputed:
            return 0
        share = self.share_basis_points
        if self.is_overdue and self.share_overdue_basis_points is not None:
            share = self.share_overdue_basis_points
        wish = self.instalment_due_centavos + paid_centavos * share // BASIS_POINTS_PER_WHOLE
        return min(self.capital_centavos + self.interest_centavos, max(self.minimum_centavos, wish))

    def take(self, amount_centavos: int, already_centavos: int = 0) -> Taken:
        """Return the line of *amount_centavos* taken from it, interest first.

        Args:
            amount_centavos: 1 up to what is owed after *already_centavos*.
            already_centavos: what the same sale took from it before.
        """
        interest_left = max(0, self.interest_centavos - already_centavos)
        interest = min(amount_centavos, interest_left)
        return Taken(
            id=self.id,
            kind="obligation",
            amount_centavos=Centavos(amount_centavos),
            interest_centavos=Centavos(interest),
            capital_centavos=Centavos(amount_centavos - interest),
            left_centavos=Centavos(self.capital_centavos + self.interest_centavos - already_centavos - amount_centavos),
        )


Deduction = Charge | Emergency | Obligation


def collection_order(deduction: Deduction) -> tuple[int, date, str]:
    """Return the sort key by which deductions are served: priority, then the older, then the id."""
    return deduction.priority, deduction.due, deduction.id
