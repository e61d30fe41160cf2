"""Makes the messages of certification cases, right ones and those with a planned mistake."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final

from messages.codec import DATAFONO
from messages.iso_message import IsoMessage
from partner.case import Again, Amount, Ask, Mac, Meter, Sums, Wish
from partner.network import PESO, Partner
from partner.setting import UNKNOWN_METER, Setting
from partner.spoilt import SpoiltSigner
from pos import requests
from pos.mac import Signer, signer
from pos.requests import Moment
from pos.store import TerminalIdentity
from vending.money import Centavos
from vending.settlement import DayTotals, Sum

NOBODYS_NETWORK_CODE = "399"
NOBODYS_FUNCTION = "899"
BATCH_PAYMENTS = 2
NOTHING_SOLD: Final = DayTotals()

_NETWORK_CODES: Final = {
    Wish.SIGN_ON: requests.SIGN_ON,
    Wish.SIGN_OFF: requests.SIGN_OFF,
    Wish.ECHO: requests.ECHO,
    Wish.UNKNOWN_NETWORK_CODE: requests.ECHO,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A message that was made.

    Attributes:
        message: as its terminal names it.
        records: of a batch: the messages inside.
        said: as the network says it, without its MAC.
        body: its octets, without TPDU and length.
        signer: of its terminal.
        identity: of its terminal.
        at: when it was first sent.
    """

    message: IsoMessage
    records: tuple[IsoMessage, ...] = ()
    said: IsoMessage
    body: bytes = field(repr=False)
    signer: Signer = field(repr=False)
    identity: TerminalIdentity
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Sold:
    """What the totals of a case are held to: the day, and what the terminal and its network sold on it."""

    day: date
    of_terminal: DayTotals = NOTHING_SOLD
    of_network: DayTotals = NOTHING_SOLD


class Composer:
    """Makes messages.

    Args:
        partner: the network.
        setting: terminals and meters.
        now: the terminals' clock, aware.
        first_stan: the trace number before the first.
    """

    def __init__(self, partner: Partner, setting: Setting, now: Callable[[], datetime], first_stan: int) -> None:
        self._partner = partner
        self._setting = setting
        self._now = now
        self._stan = first_stan

    def make(self, ask: Ask, made: Mapping[str, Made], sold: Sold) -> Made:
        """Make the message of a step.

        Args:
            ask: the step.
            made: earlier messages of the case, by their names.
            sold: for totals.
        """
        original = made.get(ask.of)
        if ask.again is not None:
            assert original is not None, ask
            return self._again(ask, original)
        identity = self._setting.terminals[ask.terminal]
        moment = self._moment()
        message, records = self._message(ask, identity, moment, original, sold)
        message = message.with_fields(self._sets(ask))
        return self._made(ask, message, records, identity, moment.transmitted_at)

    def _again(self, ask: Ask, original: Made) -> Made:
        message = original.message
        if ask.amount is not Amount.NONE and ask.amount is not Amount.USUAL:
            message = message.with_fields({4: f"{self._centavos(ask.amount):012}"})
        if ask.again is Again.REPEAT:
            message = requests.as_repeat(message)
        return self._made(ask, message, original.records, original.identity, original.at)

    def _made(
        self, ask: Ask, message: IsoMessage, records: tuple[IsoMessage, ...], identity: TerminalIdentity, at: datetime
    ) -> Made:
        speech, terminal_signer = self._partner.speech, signer(identity.mac_scheme, identity.mac_key)
        said = speech.to_network(message).without_fields(*ask.lacks)
        if ask.wish is Wish.UNKNOWN_NETWORK_CODE:
            is_1993 = self._partner.dialect == "loteria"
            said = said.with_fields({24: NOBODYS_FUNCTION} if is_1993 else {70: NOBODYS_NETWORK_CODE})
        if ask.mti:
            said = IsoMessage(mti=said.mti[0] + ask.mti[1:], fields=said.fields)
        has_mac = requests.carries_mac(message) and ask.mac is not Mac.ABSENT
        wire = self._partner.wire
        sealing = SpoiltSigner(terminal_signer) if ask.mac is Mac.WRONG else terminal_signer
        body = requests.seal_said(said, sealing, wire) if has_mac else wire.codec.encode(said)
        body = body[: len(body) - ask.cut]
        return Made(
            message=message, records=records, said=said, body=body, signer=terminal_signer, identity=identity, at=at
        )

    def _message(
        self, ask: Ask, identity: TerminalIdentity, moment: Moment, original: Made | None, sold: Sold
    ) -> tuple[IsoMessage, tuple[IsoMessage, ...]]:
        about = None if original is None else original.message
        if ask.wish in _NETWORK_CODES:
            return requests.network(identity, moment, _NETWORK_CODES[ask.wish]), ()
        if ask.wish is Wish.CUT_OVER:
            return requests.cut_over(identity, moment, sold.day), ()
        if ask.wish in {Wish.TOTALS, Wish.NETWORK_TOTALS}:
            return self._totals(ask, identity, moment, sold), ()
        if ask.wish is Wish.BATCH:
            return self._batch(ask, identity, moment)
        if ask.wish is Wish.LAST_ANSWER:
            return requests.last_answer(identity, moment, about), ()
        if ask.wish in {Wish.REVERSAL, Wish.ADVICE}:
            assert about is not None, ask
            make = requests.reversal if ask.wish is Wish.REVERSAL else requests.advice
            return make(identity, moment, about), ()
        number, centavos = self._meter_number(ask.meter), self._centavos(ask.amount)
        if ask.wish is Wish.INQUIRY:
            trial = None if ask.amount is Amount.NONE else centavos
            return requests.inquiry(identity, moment, meter_number=number, trial_centavos=trial), ()
        make_sale = requests.recharge if ask.wish is Wish.RECHARGE else requests.payment
        return make_sale(identity, moment, meter_number=number, paid_centavos=centavos), ()

    def _totals(self, ask: Ask, identity: TerminalIdentity, moment: Moment, sold: Sold) -> IsoMessage:
        totals = sold.of_network if ask.wish is Wish.NETWORK_TOTALS else sold.of_terminal
        recharges = totals.recharges + Sum(1, PESO) if ask.sums is Sums.WRONG else totals.recharges
        message = requests.terminal_totals(
            identity,
            moment,
            sold.day,
            recharges=recharges,
            payments=totals.payments,
            reversals=totals.reversed,
        )
        return IsoMessage(mti="0520", fields=message.fields) if ask.wish is Wish.NETWORK_TOTALS else message

    def _batch(self, ask: Ask, identity: TerminalIdentity, moment: Moment) -> tuple[IsoMessage, tuple[IsoMessage, ...]]:
        number, centavos = self._meter_number(ask.meter), self._centavos(ask.amount)
        payments = tuple(
            requests.payment(identity, self._moment(), meter_number=number, paid_centavos=centavos)
            for _ in range(BATCH_PAYMENTS)
        )
        records = [requests.as_record(DATAFONO.encode(each), self._partner.speech) for each in payments]
        return requests.batch_upload(identity, moment, records, number=1, last=1), payments

    def _sets(self, ask: Ask) -> dict[int, str]:
        """``??`` in element 3 is another service that the network sells, ``!!`` one that it does not sell."""
        fields = dict(ask.sets)
        for mark, is_sold in (("??", True), ("!!", False)):
            if mark in fields.get(3, ""):
                service = self._setting.other_service(self._partner, sold=is_sold)
                assert service is not None, "the case needs one"
                fields[3] = fields[3].replace(mark, f"{service.value + 1:02}")
        return fields

    def _meter_number(self, meter: Meter) -> str:
        return UNKNOWN_METER if meter is Meter.UNKNOWN else self._setting.meters[meter]

    def _centavos(self, amount: Amount) -> Centavos:
        partner, setting = self._partner, self._setting
        usual, least = partner.usual_centavos, partner.minimum_centavos
        other = usual + 100 * PESO if usual + 100 * PESO <= partner.maximum_centavos else usual - 100 * PESO
        return Centavos(
            {
                Amount.NONE: usual,
                Amount.USUAL: usual,
                Amount.OTHER: other,
                Amount.ZERO: 0,
                Amount.BELOW: max(least - PESO, 1),
                Amount.ABOVE: partner.maximum_centavos + PESO,
                Amount.BEYOND_FLOAT: partner.maximum_centavos,
                Amount.SMALL: least,
                Amount.BEYOND_DEBT: setting.debt_centavos + least,
            }[amount]
        )

    def _moment(self) -> Moment:
        self._stan = self._stan % 999_999 + 1
        return Moment(stan=f"{self._stan:06}", transmitted_at=self._now().replace(microsecond=0))
