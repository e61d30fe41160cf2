"""What an authenticated answer tells, read into the shapes that the ticket prints."""

from collections.abc import Sequence
from dataclasses import dataclass

from messages.iso_message import IsoMessage
from messages.subfields import SubElement, SubElementError, first_value, parse_sub_elements
from pos.ticket import AccountLines, SaleLines, TakenLine
from vending.money import Centavos, RateE4, Tenths
from vending.quote import QuotedBlock
from vending.secret import Secret
from vending.service import Service

PIN_DIGITS = 20

_SERVICES = {"1": Service.ENERGY, "2": Service.WATER, "3": Service.GAS}


class AnswerMalformed(ValueError):
    """An authentic answer whose details cannot be read; what it says in its own data elements still counts."""


def read_pins(answer: IsoMessage) -> tuple[Secret[str], ...]:
    """Return the PINs of data element 62, 20 digits each, in the order of entry.

    Raises:
        AnswerMalformed: not a whole number of PINs, or not digits.
    """
    digits = answer.get(62) or ""
    if len(digits) % PIN_DIGITS or (digits and not (digits.isascii() and digits.isdigit())):
        raise AnswerMalformed("data element 62 is not PINs of 20 digits")
    return tuple(Secret(digits[start : start + PIN_DIGITS]) for start in range(0, len(digits), PIN_DIGITS))


def read_account(answer: IsoMessage) -> AccountLines:
    """Return who the customer is, from data element 48; what is not told is empty.

    Raises:
        AnswerMalformed: the sub-elements cannot be read.
    """
    elements = _elements(answer, 48)
    return AccountLines(
        meter_number=first_value(elements, "MT") or answer.get(2) or "",
        account_number=first_value(elements, "AC") or "",
        holder=first_value(elements, "HN") or "",
        address=first_value(elements, "AD") or "",
        user_class=first_value(elements, "CL") or "",
        stratum=first_value(elements, "ST") or "",
        service=_SERVICES.get(first_value(elements, "SV") or "", Service.ENERGY),
    )


def read_sale(answer: IsoMessage) -> SaleLines:
    """Return the money of a sale or of a trial quote, from data element 63.

    A tag that is not there counts as zero: the network leaves out what does not apply.

    Raises:
        AnswerMalformed: a sub-element or a number in it cannot be read.
    """
    elements = _elements(answer, 63)
    voluntary = first_value(elements, "VO")
    claimed_centavos, claimed_tenths = _claimed(first_value(elements, "PK"))
    return SaleLines(
        paid_centavos=Centavos(_number(elements, "PD", int(answer.get(4) or "0"))),
        carried_in_centavos=Centavos(_number(elements, "CI")),
        carried_out_centavos=Centavos(_number(elements, "CO")),
        units_tenths=Tenths(_number(elements, "UN")),
        charged_centavos=Centavos(_number(elements, "CH")),
        full_cost_centavos=Centavos(_number(elements, "FC")),
        subsidy_centavos=Centavos(_number(elements, "SB")),
        contribution_centavos=Centavos(_number(elements, "CN")),
        month_to_date_tenths=Tenths(_number(elements, "MD")),
        blocks=tuple(_block(element.value) for element in elements if element.tag == "BK"),
        taken=tuple(_taken(element.value) for element in elements if element.tag == "TK"),
        voluntary=None if voluntary is None else _taken(voluntary),
        claimed_centavos=Centavos(claimed_centavos),
        claimed_tenths=Tenths(claimed_tenths),
        key_change_tokens=_number(elements, "KC"),
    )


def read_receipt_number(answer: IsoMessage) -> str:
    """Return the receipt number, or the retrieval reference where none is told."""
    try:
        receipt = first_value(_elements(answer, 63), "RC")
    except AnswerMalformed:
        receipt = None
    return receipt or (answer.get(37) or "").strip()


def read_number(answer: IsoMessage, tag: str) -> int:
    """Return a number of data element 48 (OW, OV, MN, MX, MD), 0 if it is not told.

    Raises:
        AnswerMalformed: it cannot be read.
    """
    return _number(_elements(answer, 48), tag)


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginalTold:
    """Which sale an answer to a last-answer inquiry is about, and what became of it.

    Attributes:
        stan: of the original.
        transmission_time: element 7 of the original, as it stands there.
        code: its response code.
        reprint_count: how often the network has handed its ticket out again, with this time.
    """

    stan: str
    transmission_time: str
    code: str
    reprint_count: int


def read_original(answer: IsoMessage) -> OriginalTold | None:
    """Return what data element 48 tells of the original; None where it does not.

    Raises:
        AnswerMalformed: the sub-elements cannot be read.
    """
    elements = _elements(answer, 48)
    stan, time, code = (first_value(elements, tag) for tag in ("OS", "OT", "OC"))
    if stan is None or time is None or code is None:
        return None
    return OriginalTold(stan=stan, transmission_time=time, code=code, reprint_count=_number(elements, "RP"))


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordTold:
    """What the answer to a batch tells of one record.

    Attributes:
        message_class: "0200" for a payment; this and the next two are empty where the network could not read the record.
        stan: of the record.
        transmission_time: element 7 of the record, as it stands there.
        code: its response code.
        day: settlement day MMDD of what stands, else empty.
        receipt: its receipt number, else empty.
    """

    message_class: str
    stan: str
    transmission_time: str
    code: str
    day: str
    receipt: str


def read_records_told(answer: IsoMessage) -> tuple[RecordTold, ...]:
    """Return what data element 48 of an 0330 tells, in the order of the records.

    Raises:
        AnswerMalformed: the sub-elements cannot be read.
    """
    told = [element.value.split(";") for element in _elements(answer, 48) if element.tag == "RS"]
    if any(len(parts) != 6 for parts in told):
        raise AnswerMalformed("a result does not have six parts")
    return tuple(
        RecordTold(message_class=which, stan=stan, transmission_time=time, code=code, day=day, receipt=receipt)
        for which, stan, time, code, day, receipt in told
    )


def bare_sale(answer: IsoMessage) -> SaleLines:
    """Return the little that a sale's own data elements tell, for an answer whose details cannot be read."""
    return SaleLines(
        paid_centavos=Centavos(int(answer.get(4) or "0")),
        carried_in_centavos=Centavos(0),
        carried_out_centavos=Centavos(0),
        units_tenths=Tenths(0),
        charged_centavos=Centavos(0),
        full_cost_centavos=Centavos(0),
        subsidy_centavos=Centavos(0),
        contribution_centavos=Centavos(0),
        month_to_date_tenths=Tenths(0),
        blocks=(),
        taken=(),
        voluntary=None,
    )


def bare_account(answer: IsoMessage) -> AccountLines:
    """Return the meter alone, for an answer whose details cannot be read."""
    return AccountLines(
        meter_number=answer.get(2) or "",
        account_number="",
        holder="",
        address="",
        user_class="",
        stratum="",
        service=Service.ENERGY,
    )


def _elements(answer: IsoMessage, number: int) -> tuple[SubElement, ...]:
    try:
        return parse_sub_elements(answer.get(number) or "")
    except SubElementError as error:
        raise AnswerMalformed(f"data element {number}: {error.reason}") from error


def _number(elements: Sequence[SubElement], tag: str, default: int = 0) -> int:
    value = first_value(elements, tag)
    return default if value is None else _integer(value)


def _integer(text: str) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        raise AnswerMalformed("a number of the answer is not digits")
    return int(text)


def _block(text: str) -> QuotedBlock:
    parts = text.split(";")
    if len(parts) != 3:
        raise AnswerMalformed("a block does not have three parts")
    units, rate, full_rate = (_integer(part) for part in parts)
    return QuotedBlock(units_tenths=Tenths(units), rate_e4=RateE4(rate), full_rate_e4=RateE4(full_rate))


def _claimed(text: str | None) -> tuple[int, int]:
    if text is None:
        return 0, 0
    parts = text.split(";")
    if len(parts) != 3:
        raise AnswerMalformed("a claim of parked tokens does not have three parts")
    centavos, tenths, _pins = (_integer(part) for part in parts)
    return centavos, tenths


def _taken(text: str) -> TakenLine:
    kind, *rest = text.split(";")
    if len(rest) != 6:
        raise AnswerMalformed("a deduction does not have seven parts")
    amount, interest, capital, left, subsidy = (_integer(part) for part in rest[1:])
    return TakenLine(
        kind=kind,
        id=rest[0],
        amount_centavos=Centavos(amount),
        interest_centavos=Centavos(interest),
        capital_centavos=Centavos(capital),
        left_centavos=Centavos(left),
        subsidy_centavos=Centavos(subsidy),
    )
