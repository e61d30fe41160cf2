"""What came back against what must come back. Pure: octets in, faults out."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from messages.iso_message import DecodeError, IsoMessage
from messages.mac import MAC_FIELDS, MacAbsent, split_mac
from messages.tpdu import Tpdu, TpduError, split_tpdu
from partner.case import Gets, Words
from partner.network import Partner
from pos.mac import Signer
from vending.ports import MacMismatch
from vending.response_code import ResponseCode

PINS_ELEMENT = 62
PIN_DIGITS = 20

CARRIED_BACK = (2, 3, 4, 7, 11, 12, 13, 24, 37, 41, 42, 70, 71, 72)
"""What an answer must carry back unchanged, where the request had it. Source: docs/wire."""

_NUMBERS_OF_1993 = {15: 28, 70: 24, 90: 56}
"""Data elements of 1987 that stand elsewhere in 1993."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """An answer as far as it could be read.

    Attributes:
        body: its octets without TPDU.
        message: what they say; None: they cannot be read.
        faults: what is wrong with how they are packed.
    """

    body: bytes = field(repr=False)
    message: IsoMessage | None
    faults: tuple[Words, ...] = ()

    @property
    def pins(self) -> str:
        """Data element 62."""
        return "" if self.message is None else self.message.get(PINS_ELEMENT) or ""


def read_answer(frame: bytes, partner: Partner, tpdu: Tpdu) -> Received:
    """Read one frame that came: its TPDU must be *tpdu* turned round."""
    body, faults = frame, []
    if partner.wire.has_tpdu:
        try:
            came, body = split_tpdu(frame)
        except TpduError:
            return Received(body=frame, message=None, faults=(Words("sin TPDU", "no TPDU"),))
        if came != tpdu.swapped():
            faults.append(
                Words(
                    f"el TPDU va a {came.destination} desde {came.source}, no a {tpdu.source}",
                    f"the TPDU goes to {came.destination} from {came.source}, not to {tpdu.source}",
                )
            )
    try:
        message = partner.wire.codec.decode(body)
    except DecodeError as error:
        return Received(body=body, message=None, faults=(*faults, Words(f"ilegible: {error}", f"unreadable: {error}")))
    return Received(body=body, message=message, faults=tuple(faults))


def judge(
    sent: IsoMessage,
    received: Received,
    gets: Gets,
    partner: Partner,
    signer: Signer,
    remembered: Mapping[str, Received],
) -> list[Words]:
    """Return what is wrong with an answer; nothing is the only good answer.

    Args:
        sent: the request, in the network's words.
        received: its answer.
        gets: what must come back.
        partner: the network.
        signer: of the terminal that asked.
        remembered: answers to earlier requests of the case, by their names.
    """
    answer = received.message
    if answer is None:
        return list(received.faults)
    faults = [*received.faults, *_code_faults(sent, answer, gets, partner)]
    faults += _mac_faults(received, gets, partner, signer)
    faults += _carried_faults(sent, answer, is_whole=gets.code is not ResponseCode.FORMAT_ERROR)
    for number in gets.has:
        here = _number(number, partner)
        if here not in answer:
            faults.append(Words(f"falta el elemento {here}", f"element {here} is missing"))
    faults += _pin_faults(received, gets, remembered)
    if gets.same_as and gets.same_as in remembered and received.body != remembered[gets.same_as].body:
        faults.append(Words("no son los mismos octetos que la primera vez", "not the same octets as the first time"))
    return faults


def _number(number: int, partner: Partner) -> int:
    return _NUMBERS_OF_1993.get(number, number) if partner.dialect == "loteria" else number


def _code_faults(sent: IsoMessage, answer: IsoMessage, gets: Gets, partner: Partner) -> list[Words]:
    expected, found = partner.spelled(gets.code, sent.message_class), answer.get(39)
    if found == expected:
        return []
    if found is None:
        return [Words("falta el elemento 39", "element 39 is missing")]
    name = partner.code_named(found)
    known = f" ({name})" if name else ""
    return [
        Words(
            f"el elemento 39 es {found}{known}; debía ser {expected} ({gets.code.value})",
            f"element 39 is {found}{known}; it must be {expected} ({gets.code.value})",
        )
    ]


def _mac_faults(received: Received, gets: Gets, partner: Partner, signer: Signer) -> list[Words]:
    answer = received.message
    assert answer is not None
    if not any(number in answer for number in MAC_FIELDS):
        return [Words("sin MAC", "no MAC")] if gets.has_mac else []
    if gets.has_mac is False:
        return [Words("trae MAC y no debía", "it has a MAC and must have none")]
    try:
        sealed = split_mac(answer, received.body, partner.wire.mac_form)
        signer.verify(sealed.covered, sealed.mac)
    except (MacAbsent, MacMismatch):
        return [Words("el MAC es falso", "the MAC is wrong")]
    return []


def _carried_faults(sent: IsoMessage, answer: IsoMessage, *, is_whole: bool) -> list[Words]:
    """Of a message that was cut short only what stood before the fault comes back."""
    wrong = [number for number in CARRIED_BACK if number in sent and answer.get(number) not in (None, sent.get(number))]
    lost = [number for number in (11, 41) if is_whole and number in sent and number not in answer]
    faults = [
        Words(f"el elemento {number} no es el del pedido", f"element {number} is not the request's") for number in wrong
    ]
    faults += [Words(f"el elemento {number} no vuelve", f"element {number} does not come back") for number in lost]
    if answer.mti[:2] != sent.mti[:2] or answer.mti[2] not in "13579":
        faults.append(
            Words(
                f"el tipo {answer.mti} no contesta un {sent.mti}",
                f"an {answer.mti} is no answer to a {sent.mti}",
            )
        )
    return faults


def _pin_faults(received: Received, gets: Gets, remembered: Mapping[str, Received]) -> list[Words]:
    pins = received.pins
    faults = []
    if gets.has_pins and (not pins or len(pins) % PIN_DIGITS or not pins.isdecimal()):
        faults.append(Words("el elemento 62 no son PIN de 20 dígitos", "element 62 is not PINs of 20 digits"))
    if gets.has_pins is False and pins:
        faults.append(Words("trae un PIN y no debía", "it has a PIN and must have none"))
    if gets.pins_of and gets.pins_of in remembered and remembered[gets.pins_of].pins != pins:
        faults.append(Words("los PIN no son los de la venta", "the PINs are not those of the sale"))
    return faults
