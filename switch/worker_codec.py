"""How batches travel between the switch and its ledger workers: pickles of our own frozen objects, made fast.

Both ends are this program and the way between them is a socket pair that nobody else can open, so pickle is safe here. What it does for
a frozen dataclass by default goes field by field through Python; the functions compiled below cost a third of that.
"""

import copyreg
import pickle
from dataclasses import fields
from typing import Any

from vending import order, quote
from vending.deductions import Taken
from vending.key_change import KeyChange
from vending.parked import ParkedSale, ParkingLimits
from vending.secret import Secret

_TRAVELLING = (
    order.Advised,
    order.AdviceOrder,
    order.AnswerRecord,
    order.Busy,
    order.Conflict,
    order.Declined,
    order.Inquiry,
    order.InquiryAnswer,
    order.LastAnswerFound,
    order.LastAnswerInquiry,
    order.MeterAccount,
    order.OriginalFound,
    order.Posted,
    order.Repeated,
    order.RequestKey,
    order.Reserved,
    order.ReservedSale,
    order.ReversalOrder,
    order.SaleOrder,
    order.SalePost,
    order.SaleVoid,
    order.TokenOrder,
    order.UndeliveredAnswer,
    order.Unresolved,
    order.UnresolvedLook,
    quote.Quote,
    quote.QuotedBlock,
    KeyChange,
    ParkedSale,
    ParkingLimits,
    Taken,
)


def _register(cls: type) -> None:
    """Compile and register how *cls* travels: as a call of a function of this module with the fields' values, in order."""
    names = [each.name for each in fields(cls)]
    name = f"restore_{cls.__name__}"
    lines = [f"def {name}({', '.join(names)}):", " made = new(cls)"]
    lines += [f" put(made, {each!r}, {each})" for each in names]
    lines += [" return made", f"def reduce(made): return {name}, ({''.join(f'made.{each}, ' for each in names)})"]
    # Values are not checked again: they were when the object was first made, in this very program.
    scope: dict[str, Any] = {"__name__": __name__, "new": object.__new__, "put": object.__setattr__, "cls": cls}
    exec("\n".join(lines), scope)  # noqa: S102 - of our own field names
    globals()[name] = scope[name]
    copyreg.pickle(cls, scope["reduce"])


for _cls in _TRAVELLING:
    _register(_cls)


def _restore_secret(value: Any) -> Secret[Any]:
    return Secret(value)


copyreg.pickle(Secret, lambda secret: (_restore_secret, (secret.reveal(),)))


def dump(message: object) -> bytes:
    """Write one message."""
    return pickle.dumps(message, pickle.HIGHEST_PROTOCOL)


def load(data: bytes) -> Any:
    """Read one message that `dump` of this very program wrote."""
    return pickle.loads(data)  # noqa: S301 - see the module's docstring


Outcome = tuple[str, Any]
"""What comes back for each item: ``DONE`` and a result, or one of the three failures and its text."""

DONE = "done"
UNAVAILABLE = "unavailable"
UNKNOWN = "unknown"
FAULT = "fault"
