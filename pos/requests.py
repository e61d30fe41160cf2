"""The messages that a datáfono sends, built and signed. Dialect ``datafono``, see docs/wire/datafono.md."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from acquirers.key_serial_number import with_ksn
from acquirers.session_key import KeyOffer, key_offer_fields
from messages.codec import DATAFONO
from messages.iso_message import IsoMessage
from messages.mac import MAC_FIELDS, covered, splice_mac, with_placeholder
from messages.record_list import RECORDS_ELEMENT, write_records
from messages.subfields import SubElement, build_sub_elements
from messages.transmission_time import write_transmission_time
from messages.wire import Wire
from pos.dukpt import DukptSigner
from pos.mac import Signer
from pos.speech import DATAFONO_SPEECH, Speech
from pos.store import TerminalIdentity
from vending.calendar import local_time
from vending.money import Centavos
from vending.settlement import Sum, write_settlement_day

CURRENCY_COP = "170"
RECHARGE = "500000"
PAYMENT = "530000"
INQUIRY = "310000"
LAST_ANSWER = "380000"
SIGN_ON = "001"
SIGN_OFF = "002"
ECHO = "301"
CUT_OVER = "201"
KEY_CHANGE = "161"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What makes this request one request: its trace number and its time.

    Attributes:
        stan: 6 digits, never used by this terminal in this second before.
        transmitted_at: aware; seconds count, fractions do not.
    """

    stan: str
    transmitted_at: datetime


def recharge(
    identity: TerminalIdentity,
    moment: Moment,
    *,
    meter_number: str,
    paid_centavos: Centavos,
    voluntary: tuple[str, Centavos] | None = None,
) -> IsoMessage:
    """Ask for units (0200, processing code 500000); ``voluntary`` is an obligation and what of the money goes to it."""
    fields = _money_fields(identity, moment, RECHARGE, meter_number, paid_centavos)
    if voluntary is not None:
        obligation, centavos = voluntary
        fields[48] = build_sub_elements([SubElement("VO", obligation), SubElement("VA", str(centavos))])
    return IsoMessage(mti="0200", fields=fields)


def payment(
    identity: TerminalIdentity,
    moment: Moment,
    *,
    meter_number: str,
    paid_centavos: Centavos,
    obligation: str | None = None,
) -> IsoMessage:
    """Pay obligations without buying units (0200, 530000); the oldest first, or the one named."""
    fields = _money_fields(identity, moment, PAYMENT, meter_number, paid_centavos)
    if obligation is not None:
        fields[48] = build_sub_elements([SubElement("OB", obligation)])
    return IsoMessage(mti="0200", fields=fields)


def inquiry(
    identity: TerminalIdentity, moment: Moment, *, meter_number: str, trial_centavos: Centavos | None
) -> IsoMessage:
    """Ask who the customer is and, with an amount, what it would buy (0100, 310000)."""
    fields = _money_fields(identity, moment, INQUIRY, meter_number, trial_centavos)
    return IsoMessage(mti="0100", fields=fields)


def reversal(identity: TerminalIdentity, moment: Moment, original: IsoMessage) -> IsoMessage:
    """Ask to undo *original*, a 0200 of this terminal (0400 with data element 90)."""
    fields = _identity_fields(identity, moment)
    for number in (2, 3, 4):
        fields[number] = original.text(number)
    fields[49] = CURRENCY_COP
    fields[90] = _named(original)
    return IsoMessage(mti="0400", fields=fields)


def advice(identity: TerminalIdentity, moment: Moment, original: IsoMessage) -> IsoMessage:
    """Say that the customer has what *original*, a 0200 of this terminal, sold him (0220)."""
    return IsoMessage(mti="0220", fields={**_identity_fields(identity, moment), 90: _named(original)})


def last_answer(identity: TerminalIdentity, moment: Moment, original: IsoMessage | None = None) -> IsoMessage:
    """Ask what became of *original*, a 0200 of this terminal, or of its last one (0100, 380000)."""
    fields = {**_identity_fields(identity, moment), 3: LAST_ANSWER}
    if original is not None:
        fields[90] = _named(original)
    return IsoMessage(mti="0100", fields=fields)


def _named(original: IsoMessage) -> str:
    """MTI, STAN and time of the original, and two institution codes that this network does not use."""
    return original.message_class + original.text(11) + original.text(7) + "0" * 22


def network(identity: TerminalIdentity, moment: Moment, code: str) -> IsoMessage:
    """Manage the link (0800): `SIGN_ON`, `SIGN_OFF` or `ECHO`; carries no MAC."""
    return IsoMessage(
        mti="0800",
        fields={
            7: write_transmission_time(moment.transmitted_at),
            11: moment.stan,
            24: identity.nii,
            41: identity.terminal_id,
            42: identity.merchant_id,
            70: code,
        },
    )


def terminal_totals(
    identity: TerminalIdentity, moment: Moment, day: date, *, recharges: Sum, payments: Sum, reversals: Sum
) -> IsoMessage:
    """Compare what this terminal sold on a settlement day with the network (0500)."""
    fields = _identity_fields(identity, moment)
    sales = recharges + payments
    net_centavos = sales.centavos - reversals.centavos
    fields[15] = write_settlement_day(day)
    fields[48] = build_sub_elements(
        [
            SubElement("RE", f"{recharges.count};{recharges.centavos}"),
            SubElement("PA", f"{payments.count};{payments.centavos}"),
        ]
    )
    fields |= {
        76: f"{sales.count:010}",
        77: f"{reversals.count:010}",
        88: f"{sales.centavos:016}",
        89: f"{reversals.centavos:016}",
        97: f"{'D' if net_centavos >= 0 else 'C'}{abs(net_centavos):016}",
    }
    return IsoMessage(mti="0500", fields=fields)


def cut_over(identity: TerminalIdentity, moment: Moment, day: date) -> IsoMessage:
    """Ask for the network's cut-over from *day* to the next (0800 with a MAC)."""
    return network(identity, moment, CUT_OVER).with_fields({15: write_settlement_day(day)})


def key_change(identity: TerminalIdentity, moment: Moment, given: KeyOffer | None = None) -> IsoMessage:
    """Ask for a session key, or give one (0800 with a MAC)."""
    message = network(identity, moment, KEY_CHANGE)
    return message if given is None else message.with_fields(key_offer_fields(message, given))


def batch_upload(
    identity: TerminalIdentity, moment: Moment, records: Sequence[bytes], *, number: int, last: int
) -> IsoMessage:
    """Send requests that were stored while there was no line (0320), the *number*-th batch of *last*."""
    fields = _identity_fields(identity, moment)
    fields |= {RECORDS_ELEMENT: write_records(records), 71: f"{number:04}", 72: f"{last:04}"}
    return IsoMessage(mti="0320", fields=fields)


def as_record(request: bytes, speech: Speech = DATAFONO_SPEECH) -> bytes:
    """Return a request as it stands in a batch: in the packing of the network, without its MAC, for the batch has one."""
    return speech.wire.codec.encode(speech.to_network(DATAFONO.decode(request).without_fields(*MAC_FIELDS)))


def as_repeat(message: IsoMessage) -> IsoMessage:
    """Return the same request marked as sent before (0201, 0221, 0321, 0401, 0421, 0501); inquiries and network messages have no repeat form."""
    if message.mti in {"0200", "0220", "0320", "0400", "0420", "0500", "0520"}:
        return IsoMessage(mti=message.mti[:3] + "1", fields=message.fields)
    return message


def carries_mac(message: IsoMessage) -> bool:
    """Whether a request and its answer have a MAC: a 0800 has none but for a cut-over and a change of keys."""
    return message.message_class != "0800" or message.get(70) in (CUT_OVER, KEY_CHANGE)


def seal(message: IsoMessage, signer: Signer, speech: Speech = DATAFONO_SPEECH) -> bytes:
    """Encode a request with its MAC, as *speech* says it."""
    said = speech.to_network(message)
    return seal_said(said, signer, speech.wire) if carries_mac(message) else speech.wire.codec.encode(said)


def seal_said(said: IsoMessage, signer: Signer, wire: Wire) -> bytes:
    """Encode a message that is in its network's words already, with its MAC."""
    if isinstance(signer, DukptSigner):
        said = with_ksn(said, signer.advance())
    encoded = wire.codec.encode(with_placeholder(said))
    return splice_mac(encoded, signer.sign(covered(encoded, wire.mac_form)), wire.mac_form)


def _money_fields(
    identity: TerminalIdentity, moment: Moment, processing_code: str, meter_number: str, amount: Centavos | None
) -> dict[int, str]:
    fields = _identity_fields(identity, moment)
    fields[2] = meter_number
    fields[3] = processing_code
    if amount is not None:
        fields[4] = f"{amount:012}"
        fields[49] = CURRENCY_COP
    return fields


def _identity_fields(identity: TerminalIdentity, moment: Moment) -> dict[int, str]:
    local = local_time(moment.transmitted_at)
    return {
        7: write_transmission_time(moment.transmitted_at),
        11: moment.stan,
        12: f"{local:%H%M%S}",
        13: f"{local:%m%d}",
        24: identity.nii,
        41: identity.terminal_id,
        42: identity.merchant_id,
    }
