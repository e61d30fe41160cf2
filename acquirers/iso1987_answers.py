"""What a terminal of 1987 is told: from an outcome to a message. Sources: docs/wire/datafono.md, docs/wire/recargas.md."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from acquirers.response_codes import ISO_1987
from messages.iso_message import IsoMessage
from messages.subfields import (
    DATA_ELEMENT_OCTETS_MAX,
    is_printable_latin_1,
    sub_elements_size_octets,
    write_sub_elements,
)
from messages.transmission_time import write_transmission_time
from vending.key_change import KeyChange
from vending.order import InquiryAnswer, LastAnswerFound, MeterAccount, ReservedSale
from vending.parked import ParkedSale
from vending.quote import Quote, Taken
from vending.response_code import ResponseCode
from vending.secret import Secret
from vending.service import Service
from vending.settlement import write_settlement_day

ECHOED_FIELDS = (2, 3, 4, 7, 11, 12, 13, 24, 37, 41, 42, 70, 71, 72)
"""What the caller finds again in every answer, if he sent it: by these he matches it to his request."""

_ECHOED = frozenset(ECHOED_FIELDS)

REJECTION_MTI = "0620"
"""Carries the refusal of something that has no answer of its own (an answer sent to us, an MTI that cannot be read)."""

REJECTION_CLASSES = frozenset({"0620", "0630"})
"""A rejection is never rejected: two switches would do it for ever."""

Line = tuple[str, str]
"""One sub-element: tag and value."""

SERVICE_DIGIT = {Service.ENERGY: "1", Service.WATER: "2", Service.GAS: "3"}

APPROVAL_MODULUS = 1_000_000
"""Data element 38 shows the last six digits of the receipt number."""


def answer(message: IsoMessage | None, code: ResponseCode, more: dict[int, str] | None = None) -> IsoMessage | None:
    """Make an answer with the caller's own fields, data element 39 and *more*; None for what must not be answered."""
    if message is None:
        return IsoMessage(mti=REJECTION_MTI, fields={39: ISO_1987[code]})
    if message.mti[:3] + "0" in REJECTION_CLASSES:
        return None
    fields = {number: value for number, value in message.fields.items() if number in _ECHOED}
    fields[39] = ISO_1987[code]
    if more:
        fields.update(more)
    return IsoMessage(mti=message.answer_mti if message.is_request else REJECTION_MTI, fields=fields)


def sale_fields(message: IsoMessage, sale: ReservedSale, tokens: Sequence[Secret[str]]) -> dict[int, str]:
    """Data elements 15, 37, 38, 48, 62 and 63 of a sale that stands."""
    return {15: write_settlement_day(sale.settlement_date), **sale_details(message, sale, tokens)}


def sale_details(message: IsoMessage, sale: ReservedSale, tokens: Sequence[Secret[str]]) -> dict[int, str]:
    """Those of a sale's data elements that are the same in every version of the standard: all but the day."""
    fields = {
        38: f"{sale.sale_id % APPROVAL_MODULUS:06d}",
        48: write_sub_elements(_account(sale.meter)),
        63: _sale_lines(str(sale.sale_id), sale.quote, sale.claimed, sale.key_change),
    }
    if 37 not in message:
        fields[37] = sale.rrn.ljust(12)[:12]
    pins = [*(token for parked in sale.claimed for token in parked.tokens), *tokens]
    if sale.key_change is not None:
        # A sale that changes a key claims nothing, so they stand first.
        pins[:0] = sale.key_change.tokens
    if pins:
        fields[62] = "".join(token.reveal() for token in pins)
    return fields


def last_answer_fields(message: IsoMessage, found: LastAnswerFound) -> dict[int, str]:
    """What an 0110 tells of an earlier sale: its data elements as in its own answer, and in 48 also which one it is."""
    fields = last_answer_details(message, found, ISO_1987, write_transmission_time)
    if found.sale is not None:
        fields[15] = write_settlement_day(found.sale.settlement_date)
    return fields


def last_answer_details(
    message: IsoMessage,
    found: LastAnswerFound,
    spellings: Mapping[ResponseCode, str],
    write_time: Callable[[datetime], str],
) -> dict[int, str]:
    """The same without the day; *spellings* and *write_time* say how the original's code and time stand in its own messages."""
    if found.original is None or found.original_code is None:
        return {}
    which = [
        ("OS", found.original.stan),
        ("OT", write_time(found.original.transmitted_at)),
        ("OR", _printable(found.rrn, 12)),
        ("OC", spellings[found.original_code]),
    ]
    if found.sale is None:
        return {48: write_sub_elements(which)}
    fields = sale_details(message, found.sale, found.tokens)
    fields[48] = write_sub_elements([*_account(found.sale.meter), *which, ("RP", str(found.reprint_count))])
    return fields


def inquiry_fields(inquired: InquiryAnswer) -> dict[int, str]:
    """Data elements 48 and 63 of an inquiry."""
    fields: dict[int, str] = {}
    if inquired.meter is not None:
        elements = [
            *_account(inquired.meter),
            ("OW", str(inquired.owed_centavos)),
            ("OV", str(inquired.overdue_centavos)),
            ("MN", str(inquired.minimum_paid_centavos)),
            ("MX", str(inquired.maximum_paid_centavos)),
            ("MD", str(inquired.month_to_date_tenths)),
        ]
        fields[48] = write_sub_elements(elements)
    if inquired.trial is not None:
        fields[63] = _sale_lines("", inquired.trial)
    return fields


def _account(meter: MeterAccount) -> list[Line]:
    return [
        ("HN", _printable(meter.holder, 80)),
        ("AD", _printable(meter.address, 120)),
        ("AC", _printable(meter.account_number, 40)),
        ("MT", meter.meter_number),
        ("SV", SERVICE_DIGIT[meter.service]),
        ("CL", meter.user_class.value),
        ("ST", str(meter.stratum)),
    ]


def _printable(text: str, characters_max: int) -> str:
    """What a terminal's printer can do: Latin-1, one line, not too long."""
    if not is_printable_latin_1(text):
        text = "".join(character if is_printable_latin_1(character) else "?" for character in text)
    return text[:characters_max]


def _sale_lines(
    receipt: str, quote: Quote, claimed: Sequence[ParkedSale] = (), key_change: KeyChange | None = None
) -> str:
    """The quote, and what was claimed of parked tokens, as sub-elements; deductions that do not fit are summed in one last line, so that the sums on the ticket still agree."""
    head = [
        ("PD", str(quote.paid_centavos + sum(parked.paid_centavos for parked in claimed))),
        ("CI", str(quote.carried_in_centavos)),
        ("CO", str(quote.carried_out_centavos)),
        ("UN", str(quote.units_tenths)),
        ("CH", str(quote.charged_centavos)),
        ("FC", str(quote.full_cost_centavos)),
        ("SB", str(quote.subsidy_centavos)),
        ("CN", str(quote.contribution_centavos)),
        ("MD", str(quote.month_to_date_tenths)),
    ]
    if claimed:
        head.append(("PK", _claimed(claimed)))
    if key_change is not None:
        head.append(("KC", str(len(key_change.tokens))))
    if receipt:
        head.insert(0, ("RC", receipt))
    head += [("BK", f"{block.units_tenths};{block.rate_e4};{block.full_rate_e4}") for block in quote.blocks]
    if quote.voluntary is not None:
        head.append(("VO", _taken(quote.voluntary)))
    room = DATA_ELEMENT_OCTETS_MAX - sub_elements_size_octets(head)
    return write_sub_elements([*head, *_taken_lines(quote.taken, room)])


def _claimed(claimed: Sequence[ParkedSale]) -> str:
    paid = sum(parked.paid_centavos for parked in claimed)
    units = sum(parked.units_tenths for parked in claimed)
    return f"{paid};{units};{sum(len(parked.tokens) for parked in claimed)}"


def _taken_lines(taken: Sequence[Taken], room_octets: int) -> list[Line]:
    """Show as many lines as there is room for; how long the line is that sums up the rest depends on the sums."""
    lines = [("TK", _taken(line)) for line in taken]
    if sub_elements_size_octets(lines) <= room_octets:
        return lines
    for shown in range(len(lines) - 1, 0, -1):
        fitting = [*lines[:shown], _more(taken[shown:])]
        if sub_elements_size_octets(fitting) <= room_octets:
            return fitting
    return [_more(taken)]


def _more(rest: Sequence[Taken]) -> Line:
    amount = sum(line.amount_centavos for line in rest)
    interest = sum(line.interest_centavos for line in rest)
    capital = sum(line.capital_centavos for line in rest)
    left = sum(line.left_centavos for line in rest)
    subsidy = sum(line.subsidy_centavos for line in rest)
    return "TK", f"more;{len(rest)};{amount};{interest};{capital};{left};{subsidy}"


def _taken(line: Taken) -> str:
    name = _printable(line.id, 40).replace(";", ",")
    return (
        f"{line.kind};{name};{line.amount_centavos};{line.interest_centavos};{line.capital_centavos};"
        f"{line.left_centavos};{line.subsidy_centavos}"
    )
