"""What happens in every state on every event: how the ledger stands towards a request, and what each event makes of it.

`vending.sale` says which steps there are; this table says what somebody outside sees of them. A standing is durable: whatever is
killed between two events, the row stays as it is. A test takes a real ledger through every cell.
"""

from enum import Enum
from typing import NamedTuple

from vending.response_code import ResponseCode


class Standing(Enum):
    """What the ledger knows under the key of one recharge."""

    UNKNOWN = "unknown"
    """Never seen, or seen and refused before anything was written."""
    BARRED = "barred"
    """Its reversal came first."""
    DECLINED = "declined"
    """Refused; nothing was taken and the refusal is stored."""
    RESERVED = "reserved"
    """Money, meter and token identifiers are set aside; whether a token exists may be unknown."""
    VOID = "void"
    """Was reserved; the module refused; everything was given back."""
    POSTED = "posted"
    """Sold; the token exists and is in the stored answer."""
    WITH_CUSTOMER = "with customer"
    """Posted, and the customer may hold the digits: his terminal said so, was shown them again, or was told that the sale stands."""
    PARKED = "parked"
    """Posted and reversed: the money went back, the token waits on its meter."""
    PROMISED = "promised"
    """Parked, and bound to a later recharge that is reserved."""
    CLAIMED = "claimed"
    """Parked, and handed out by a later recharge that is posted."""


class Happening(Enum):
    """What can come from outside. The first six are messages of the same terminal, the others are of our own making."""

    SAME_AGAIN = "the same request"
    OTHER_CONTENT = "same key, other content"
    REVERSAL_STANDS = "reversal, policy `stands`"
    REVERSAL_PARKED = "reversal, policy `parked`"
    ADVICE = "delivery advice"
    LAST_ANSWER = "last-answer inquiry"
    MODULE_TOKENS = "resolver: the module gives tokens"
    MODULE_REFUSES = "resolver: the module refuses"
    MODULE_SILENT = "resolver: the module is silent"
    DAY_CLOSED = "its day is closed"


class Outcome(NamedTuple):
    """The standing afterwards, and what is answered; None: nobody asked, so nobody is answered."""

    after: Standing
    code: ResponseCode | None


_S, _C = Standing, ResponseCode

_MESSAGES = tuple(Happening)[:6]

_ANSWERS: dict[Standing, tuple[tuple[Standing, ResponseCode], ...]] = {
    _S.UNKNOWN: (
        (_S.POSTED, _C.APPROVED),
        (_S.POSTED, _C.APPROVED),
        (_S.BARRED, _C.ORIGINAL_NOT_FOUND),
        (_S.BARRED, _C.ORIGINAL_NOT_FOUND),
        (_S.UNKNOWN, _C.ORIGINAL_NOT_FOUND),
        (_S.UNKNOWN, _C.ORIGINAL_NOT_FOUND),
    ),
    _S.BARRED: (
        (_S.BARRED, _C.DUPLICATE_CONFLICT),
        (_S.BARRED, _C.DUPLICATE_CONFLICT),
        (_S.BARRED, _C.ORIGINAL_NOT_FOUND),
        (_S.BARRED, _C.ORIGINAL_NOT_FOUND),
        (_S.BARRED, _C.ORIGINAL_NOT_FOUND),
        (_S.BARRED, _C.ORIGINAL_NOT_FOUND),
    ),
    _S.DECLINED: (
        (_S.DECLINED, _C.AMOUNT_BELOW_MINIMUM),
        (_S.DECLINED, _C.DUPLICATE_CONFLICT),
        (_S.DECLINED, _C.APPROVED),
        (_S.DECLINED, _C.APPROVED),
        (_S.DECLINED, _C.ORIGINAL_NOT_FOUND),
        (_S.DECLINED, _C.APPROVED),
    ),
    _S.RESERVED: (
        (_S.POSTED, _C.APPROVED),
        (_S.RESERVED, _C.DUPLICATE_CONFLICT),
        (_S.RESERVED, _C.IN_PROGRESS),
        (_S.RESERVED, _C.IN_PROGRESS),
        (_S.RESERVED, _C.IN_PROGRESS),
        (_S.RESERVED, _C.IN_PROGRESS),
    ),
    _S.VOID: (
        (_S.VOID, _C.MODULE_REFUSED),
        (_S.VOID, _C.DUPLICATE_CONFLICT),
        (_S.VOID, _C.APPROVED),
        (_S.VOID, _C.APPROVED),
        (_S.VOID, _C.ORIGINAL_NOT_FOUND),
        (_S.VOID, _C.APPROVED),
    ),
    _S.POSTED: (
        (_S.POSTED, _C.APPROVED),
        (_S.POSTED, _C.DUPLICATE_CONFLICT),
        (_S.WITH_CUSTOMER, _C.SALE_STANDS),
        (_S.PARKED, _C.APPROVED),
        (_S.WITH_CUSTOMER, _C.APPROVED),
        (_S.WITH_CUSTOMER, _C.APPROVED),
    ),
    _S.WITH_CUSTOMER: (
        (_S.WITH_CUSTOMER, _C.APPROVED),
        (_S.WITH_CUSTOMER, _C.DUPLICATE_CONFLICT),
        (_S.WITH_CUSTOMER, _C.SALE_STANDS),
        (_S.WITH_CUSTOMER, _C.SALE_STANDS),
        (_S.WITH_CUSTOMER, _C.APPROVED),
        (_S.WITH_CUSTOMER, _C.APPROVED),
    ),
    **{
        standing: (
            (standing, _C.DUPLICATE_CONFLICT),
            (standing, _C.DUPLICATE_CONFLICT),
            (standing, _C.APPROVED),
            (standing, _C.APPROVED),
            (standing, _C.ORIGINAL_NOT_FOUND),
            (standing, _C.ORIGINAL_NOT_FOUND),
        )
        for standing in (_S.PARKED, _S.PROMISED, _S.CLAIMED)
    },
}

_RESOLVED: dict[tuple[Standing, Happening], Standing] = {
    (_S.RESERVED, Happening.MODULE_TOKENS): _S.POSTED,
    (_S.RESERVED, Happening.MODULE_REFUSES): _S.VOID,
    # What is resolved is the later recharge that the token is promised to.
    (_S.PROMISED, Happening.MODULE_TOKENS): _S.CLAIMED,
    (_S.PROMISED, Happening.MODULE_REFUSES): _S.PARKED,
}
"""What our own doings change; everything else they leave as it is."""


def outcome(standing: Standing, happening: Happening) -> Outcome:
    """Return what *happening* makes of a recharge that stands so.

    >>> outcome(Standing.PARKED, Happening.SAME_AGAIN)
    Outcome(after=<Standing.PARKED: 'parked'>, code=<ResponseCode.DUPLICATE_CONFLICT: 'duplicate_conflict'>)
    """
    if happening in _MESSAGES:
        after, code = _ANSWERS[standing][_MESSAGES.index(happening)]
        return Outcome(after, code)
    return Outcome(_RESOLVED.get((standing, happening), standing), None)


def render_markdown() -> str:
    """Return the table as Markdown: a row for each standing, a column for each event, in a cell what is answered and what follows."""
    lines = [
        "| stands | " + " | ".join(happening.value for happening in Happening) + " |",
        "|---" * (len(Happening) + 1) + "|",
    ]
    for standing in Standing:
        cells = [_cell(standing, outcome(standing, happening)) for happening in Happening]
        lines.append(f"| **{standing.value}** | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(before: Standing, found: Outcome) -> str:
    said = "" if found.code is None else found.code.value
    moved = "" if found.after is before else f"→ **{found.after.value}**"
    return " ".join(part for part in (said, moved) if part) or "·"
