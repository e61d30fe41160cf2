"""How a terminal speaks with a network of each dialect.

A terminal thinks and remembers in messages of dialect ``datafono``. What leaves it for another network is the same request in that
network's packing and words, and what comes back is turned into the answer that a ``datafono`` network would have given. So there is
one till for all of them.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, Protocol

from acquirers.action_codes import APPROVALS, ISO_1993
from acquirers.iso1993_requests import CUT_OVER, ECHO, FUNCTIONS, NETWORK_MTI, SIGN_OFF, SIGN_ON
from acquirers.response_codes import ISO_1987
from acquirers.session_key import KEY_CHANGE_1993, KEY_ELEMENT
from messages.iso_message import IsoMessage
from messages.local_date_time import read_local_date_time, read_short_date, write_local_date_time, write_short_date
from messages.subfields import SubElement, build_sub_elements, parse_sub_elements
from messages.transmission_time import read_transmission_time, write_transmission_time
from messages.wire import DATAFONO_WIRE, LOTERIA_WIRE, RECARGAS_WIRE, Wire
from vending.response_code import ResponseCode
from vending.settlement import settlement_day, write_settlement_day

NETWORK_FUNCTIONS: Final[Mapping[str, str]] = {
    "001": SIGN_ON,
    "002": SIGN_OFF,
    "301": ECHO,
    "201": CUT_OVER,
    "161": KEY_CHANGE_1993,
}
"""Data element 70 of 1987 as the function code of an 1804."""

CUSTOMER_CANCELLATION = "4000"
"""Message reason code of a till's reversal."""

_CODES: Final = {text: code for code, text in ISO_1993.items()} | dict.fromkeys(APPROVALS, ResponseCode.APPROVED)


class Speech(Protocol):
    """One dialect, as a terminal needs it."""

    @property
    def wire(self) -> Wire:
        """How its messages are packed."""

    @property
    def has_batches(self) -> bool:
        """Whether the network takes a batch upload: without one no payment is taken off line."""

    def to_network(self, message: IsoMessage) -> IsoMessage:
        """Say a request of ``datafono`` in the words of the network; its MAC is not looked at."""

    def from_network(self, answer: IsoMessage, request: IsoMessage) -> IsoMessage:
        """Say an answer of the network in those of ``datafono``. *request* is what it answers, in the terminal's own form.

        Raises:
            ValueError: it says something that has no word there.
        """


class PlainSpeech:
    """ISO 8583:1987: only the packing may differ."""

    has_batches = True

    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    def to_network(self, message: IsoMessage) -> IsoMessage:
        """See `Speech`."""
        return message

    def from_network(self, answer: IsoMessage, request: IsoMessage) -> IsoMessage:
        """See `Speech`."""
        del request
        return answer


class LoteriaSpeech:
    """ISO 8583:1993: function codes, action codes, local date and time with a year.

    Args:
        now: the terminal's clock, aware; it finds the years.
    """

    wire = LOTERIA_WIRE
    has_batches = False

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now

    def to_network(self, message: IsoMessage) -> IsoMessage:
        """See `Speech`."""
        mti = "1" + message.mti[1:]
        fields = {number: value for number, value in message.fields.items() if number not in (13, 15, 64, 70, 90, 128)}
        fields[12] = self._local(message.text(7))
        if message.mti == "0800":
            mti, fields[24] = NETWORK_MTI, NETWORK_FUNCTIONS[message.text(70)]
        else:
            fields[24] = FUNCTIONS["1" + message.message_class[1:]]
        if message.mti[1] == "4":
            fields[25] = CUSTOMER_CANCELLATION
        if 15 in message:
            fields[28] = write_short_date(settlement_day(message.text(15), self._now()))
        if KEY_ELEMENT in message:
            fields[KEY_ELEMENT] = bytes.fromhex(message.text(KEY_ELEMENT)).decode("latin-1")
        if 90 in message:
            original = message.text(90)
            fields[56] = "1" + original[1:10] + self._local(original[10:20])
        return IsoMessage(mti=mti, fields=fields)

    def from_network(self, answer: IsoMessage, request: IsoMessage) -> IsoMessage:
        """See `Speech`."""
        fields = {number: value for number, value in answer.fields.items() if number not in (12, 24, 28, 39, 64, 128)}
        fields |= {number: request.text(number) for number in (12, 13, 24, 70) if number in request}
        if 28 in answer:
            fields[15] = write_settlement_day(read_short_date(answer.text(28)))
        if KEY_ELEMENT in answer:
            fields[KEY_ELEMENT] = answer.text(KEY_ELEMENT).encode("latin-1").hex().upper()
        if 39 in answer:
            fields[39] = _code(answer.text(39))
        if 48 in answer:
            elements = [self._element(element) for element in parse_sub_elements(answer.text(48))]
            fields[48] = build_sub_elements(elements)
        return IsoMessage(mti=request.answer_mti, fields=fields)

    def _local(self, transmission_time: str) -> str:
        return write_local_date_time(read_transmission_time(transmission_time, self._now()))

    def _element(self, element: SubElement) -> SubElement:
        """Which sale a last answer is about stands in 48 in the words of its own network."""
        if element.tag == "OT":
            moment = read_local_date_time(element.value, self._now())
            return SubElement("OT", write_transmission_time(moment))
        return SubElement("OC", _code(element.value)) if element.tag == "OC" else element


def _code(action_code: str) -> str:
    code = _CODES.get(action_code)
    if code is None:
        raise ValueError("an action code that is not ours")
    return ISO_1987[code]


DATAFONO_SPEECH: Final[Speech] = PlainSpeech(DATAFONO_WIRE)


def speech_of(dialect: str, now: Callable[[], datetime]) -> Speech:
    """Return how to speak with a network of *dialect*, a key of `messages.wire.WIRES`."""
    speeches: Mapping[str, Speech] = {
        "datafono": DATAFONO_SPEECH,
        "recargas": PlainSpeech(RECARGAS_WIRE),
        "loteria": LoteriaSpeech(now),
    }
    return speeches[dialect]
