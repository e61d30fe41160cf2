"""What a lottery terminal is told: from an outcome to a message of dialect ``loteria``. Source: docs/wire/loteria.md."""

from collections.abc import Sequence

from acquirers.action_codes import ISO_1993, action_code
from acquirers.iso1987_answers import last_answer_details, sale_details
from acquirers.iso1987_totals import totals_details
from messages.iso_message import IsoMessage
from messages.local_date_time import write_local_date_time, write_short_date
from vending.order import LastAnswerFound, ReservedSale
from vending.response_code import ResponseCode
from vending.secret import Secret
from vending.settlement import Compared, TotalsOrder

ECHOED_FIELDS = (2, 3, 4, 7, 11, 12, 24, 37, 41, 42)
"""What the caller finds again in every answer, if he sent it."""

_ECHOED = frozenset(ECHOED_FIELDS)

RECONCILIATION_DATE = 28

REJECTION_MTI = "1644"
"""Administrative notification: carries the refusal of something that has no answer of its own."""

UNABLE_TO_PARSE = "650"
"""Function code of a rejection."""

ADMINISTRATIVE = "6"
"""Second MTI digit of what is never answered: two switches would reject each other's rejections for ever."""


def answer(message: IsoMessage | None, code: ResponseCode, more: dict[int, str] | None = None) -> IsoMessage | None:
    """Make an answer with the caller's own fields, data element 39 and *more*; None for what must not be answered."""
    if message is None:
        return IsoMessage(mti=REJECTION_MTI, fields={24: UNABLE_TO_PARSE, 39: ISO_1993[code]})
    if message.mti[1] == ADMINISTRATIVE:
        return None
    fields = {number: value for number, value in message.fields.items() if number in _ECHOED}
    fields[39] = action_code(message.message_class, code)
    if message.mti[2] not in "02":
        return IsoMessage(mti=REJECTION_MTI, fields={**fields, 24: UNABLE_TO_PARSE})
    if more:
        fields.update(more)
    return IsoMessage(mti=message.answer_mti, fields=fields)


def sale_fields(message: IsoMessage, sale: ReservedSale, tokens: Sequence[Secret[str]]) -> dict[int, str]:
    """Data elements 28, 37, 38, 48, 62 and 63 of a sale that stands."""
    return {RECONCILIATION_DATE: write_short_date(sale.settlement_date), **sale_details(message, sale, tokens)}


def last_answer_fields(message: IsoMessage, found: LastAnswerFound) -> dict[int, str]:
    """What an 1110 tells of an earlier sale: its data elements as in its own answer, and in 48 also which one it is."""
    fields = last_answer_details(message, found, ISO_1993, write_local_date_time)
    if found.sale is not None:
        fields[RECONCILIATION_DATE] = write_short_date(found.sale.settlement_date)
    return fields


def totals_fields(message: IsoMessage, order: TotalsOrder, compared: Compared) -> dict[int, str]:
    """Data elements of the answer: the day, and our totals beside the difference."""
    return {**cut_over_fields(message), **totals_details(order, compared)}


def cut_over_fields(message: IsoMessage) -> dict[int, str]:
    """The day, as it was asked for."""
    return {RECONCILIATION_DATE: message.text(RECONCILIATION_DATE)}
