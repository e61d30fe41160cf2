"""What a person does at a datáfono: sell, pay, ask, undo, print again, and say that the customer has his ticket. Keeps the terminal's memory true at every step.

Each use case reads the same: take a trace number, build the request, store it, send it, store what came of it. The store is written
before the first octet leaves and before the outcome is shown.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Protocol

from acquirers.session_key import read_key_offer
from messages.codec import DATAFONO
from messages.iso_message import IsoMessage
from messages.transmission_time import read_transmission_time
from pos import requests
from pos.answers import AnswerMalformed, OriginalTold, read_original
from pos.client import NotSent, Outcome
from pos.dialogue import APPROVED, ATTEMPTS_MAX, Dialogue, Final, tells_of_records
from pos.dukpt import DukptSigner
from pos.mac import signer
from pos.requests import Moment
from pos.session_key import SessionKeyFile
from pos.speech import DATAFONO_SPEECH, Speech
from pos.store import ExchangeKind, ExchangeStatus, StoredExchange, TerminalStore
from pos.upload import Batch, Upload, Uploaded, in_batches, match
from vending.money import Centavos

SALE_STANDS = "21"
"""The reversal is refused because the token exists; the answer carries it."""

ORIGINAL_NOT_FOUND = "25"
"""The sale never arrived, and the reversal is on record should it still come."""


NOT_SERVED = frozenset({"03", "57", "58"})
"""This terminal, or its network, is served nothing: it prints no copy from its memory either."""

SALE_LINES = 63
"""The data element with the lines of a sale: where it is, there is a ticket to print."""


class Link(Protocol):
    """Carries a dialogue to its end; `pos.client.PosClient` is the real one."""

    def run(self, dialogue: Dialogue) -> Outcome:
        """Return how it ended."""


class NothingToRepeat(Exception):
    """There is no last sale (``status`` None), or it was undone or never left the terminal."""

    def __init__(self, status: ExchangeStatus | None) -> None:
        super().__init__(status)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Reprint:
    """The last sale asked for again, or asked to be undone: either may bring its ticket once more.

    Attributes:
        outcome: how that ended; the answer in the terminal's memory where the network gave none.
        copy_number: of its ticket, None if there is none to print.
        is_from_memory: the network gave no answer now.
        sold_at: when the sale was first asked for, aware; None where nothing is known of it.
    """

    outcome: Outcome
    copy_number: int | None = None
    is_from_memory: bool = False
    sold_at: datetime | None = None


class Till:
    """One terminal in use. Call within `TerminalStore.exclusive`."""

    def __init__(
        self,
        store: TerminalStore,
        link: Link,
        *,
        now: Callable[[], datetime],
        speech: Speech = DATAFONO_SPEECH,
        session_keys: SessionKeyFile | None = None,
        device: DukptSigner | None = None,
    ) -> None:
        """Prepare.

        Args:
            store: the terminal's memory.
            link: to the network.
            now: the terminal's clock, aware.
            speech: of the network.
            session_keys: of the network, where it changes its key over the line; None: the terminal's own key signs.
            device: where each message has a key of its own.
        """
        self._store = store
        self._speech = speech
        self._link = link
        self._now = now
        self._session_keys = session_keys
        own = device or signer(store.identity.mac_scheme, store.identity.mac_key)
        self._signer = own if session_keys is None else session_keys.signer
        self._new_advice: StoredExchange | None = None
        self._uploaded: tuple[Uploaded, ...] = ()

    def _dialogue(self, request: IsoMessage, *, was_sent: bool = False, attempts_max: int = ATTEMPTS_MAX) -> Dialogue:
        return Dialogue(request, self._signer, speech=self._speech, was_sent=was_sent, attempts_max=attempts_max)

    def sell(
        self, *, meter_number: str, paid_centavos: Centavos, voluntary: tuple[str, Centavos] | None = None
    ) -> Outcome:
        """Sell units.

        Raises:
            ExchangeOpen: the last sale has no final answer.
        """
        self._store.check_may_sell()
        moment = self._moment()
        message = requests.recharge(
            self._store.identity, moment, meter_number=meter_number, paid_centavos=paid_centavos, voluntary=voluntary
        )
        return self._sale(moment, message)

    def pay(self, *, meter_number: str, paid_centavos: Centavos, obligation: str | None = None) -> Outcome:
        """Take a payment to obligations.

        Raises:
            ExchangeOpen: the last sale has no final answer.
        """
        self._store.check_may_sell()
        moment = self._moment()
        message = requests.payment(
            self._store.identity, moment, meter_number=meter_number, paid_centavos=paid_centavos, obligation=obligation
        )
        return self._sale(moment, message)

    def pay_offline(
        self, *, meter_number: str, paid_centavos: Centavos, obligation: str | None = None
    ) -> StoredExchange:
        """Take a payment without a line: it is stored, and done when it is uploaded. Units are never sold so.

        Raises:
            ExchangeOpen: the last sale is on this very meter and has no final answer: it may be the same money.
            OfflineFull: too many wait.
        """
        last = self._store.sale
        if last is not None and DATAFONO.decode(last.request).text(2) == meter_number:
            self._store.check_may_sell()
        moment = self._moment()
        message = requests.payment(
            self._store.identity, moment, meter_number=meter_number, paid_centavos=paid_centavos, obligation=obligation
        )
        exchange = self._stored(ExchangeKind.SALE, moment, message)
        self._store.store_offline(exchange)
        return exchange

    def upload(self) -> Upload:
        """Send the payments that were taken without a line, and the advices that wait; they stay stored until `upload_printed`."""
        batches = in_batches([*self._store.offline, *self._store.advices], self._speech)
        records: list[Uploaded] = []
        failure: Outcome | None = None
        for number, batch in enumerate(batches, start=1):
            # Where one batch gets nowhere the next would not either.
            outcome = failure or self._send_batch(batch, number, len(batches))
            if not isinstance(outcome, Final) or not tells_of_records(outcome.answer):
                failure = outcome
            records += match(batch.exchanges, outcome)
        self._uploaded = tuple(records)
        return Upload(records=self._uploaded, failure=failure)

    def _send_batch(self, batch: Batch, number: int, last: int) -> Outcome:
        moment = self._moment()
        message = requests.batch_upload(self._store.identity, moment, batch.records, number=number, last=last)
        return self._link.run(self._dialogue(message))

    def upload_printed(self) -> None:
        """Forget what was uploaded and has ended; after this the paper is the only one that knows of a refusal."""
        ended = [(record.exchange, record.sold) for record in self._uploaded if record.is_final]
        if ended:
            self._store.settle_uploaded(ended)
        self._uploaded = ()

    def inquire(self, *, meter_number: str, trial_centavos: Centavos | None = None) -> Outcome:
        """Ask about a meter; nothing is stored, because nothing moves."""
        message = requests.inquiry(
            self._store.identity, self._moment(), meter_number=meter_number, trial_centavos=trial_centavos
        )
        return self._link.run(self._dialogue(message))

    def network(self, code: str) -> Outcome:
        """Sign on, sign off or echo: a code of `pos.requests`."""
        return self._link.run(self._dialogue(requests.network(self._store.identity, self._moment(), code)))

    def change_key(self, random_octets: Callable[[int], bytes] | None = None) -> Outcome:
        """Change the network's session key: ask for one, or with *random_octets* give one. From now on messages are signed with it.

        Raises:
            CannotUnwrap, Refusal, ValueError: the network's answer is authentic, and what it says of the key is wrong; the old key stays.
        """
        keys = self._session_keys
        assert keys is not None, "a network that changes its key over the line"
        with keys.exclusive():
            self._signer = keys.signer
            given = None if random_octets is None else keys.give(random_octets)
            outcome = self._link.run(self._dialogue(requests.key_change(self._store.identity, self._moment(), given)))
            if isinstance(outcome, Final) and outcome.is_approved:
                keys.accept(read_key_offer(outcome.answer))
                self._signer = keys.signer
        return outcome

    def close_day(self, day: date) -> Outcome:
        """Compare what was sold on a settlement day with the network; nothing is stored, because asking again is always right."""
        totals = self._store.tally.of(day)
        message = requests.terminal_totals(
            self._store.identity,
            self._moment(),
            day,
            recharges=totals.recharges,
            payments=totals.payments,
            reversals=totals.reversed,
        )
        return self._link.run(self._dialogue(message))

    def last_answer(self) -> Reprint:
        """Ask the network what became of the last sale; where it was sold its ticket comes once more, counted over there.

        A sale that is still open here ends with the answer; where the network does not know it, it is repeated under its own key. A
        terminal that remembers no sale asks for the last one that the network remembers.

        Raises:
            NothingToRepeat: the last sale was undone or never left.
        """
        last = self._store.sale
        if last is None:
            return self._last_of_network()
        if last.status in {ExchangeStatus.REVERSED, ExchangeStatus.NOT_SENT}:
            raise NothingToRepeat(last.status)
        original = DATAFONO.decode(last.request)
        message = requests.last_answer(self._store.identity, self._moment(), original)
        outcome = self._link.run(self._dialogue(message))
        if isinstance(outcome, Final):
            told = _told(outcome)
            if told is not None and (told.stan, told.transmission_time) == (original.text(11), original.text(7)):
                self._store.settle_sale(ExchangeStatus.FINAL, outcome.octets)
                return self._reprint(outcome, last, told)
            if last.status is ExchangeStatus.OPEN:
                return self.repeat_last()
        if last.answer is None or (isinstance(outcome, Final) and outcome.code in NOT_SERVED):
            return Reprint(outcome=outcome, sold_at=last.transmitted_at)
        remembered = Final(answer=DATAFONO.decode(last.answer), octets=last.answer)
        reprint = self._reprint(remembered, last, _told(remembered))
        return replace(reprint, is_from_memory=True)

    def _last_of_network(self) -> Reprint:
        message = requests.last_answer(self._store.identity, self._moment())
        outcome = self._link.run(self._dialogue(message))
        told = _told(outcome) if isinstance(outcome, Final) else None
        if told is None:
            return Reprint(outcome=outcome)
        sold_at = read_transmission_time(told.transmission_time, self._now())
        return Reprint(
            outcome=outcome, copy_number=told.reprint_count if told.code == APPROVED else None, sold_at=sold_at
        )

    def _reprint(self, outcome: Final, last: StoredExchange, told: OriginalTold | None) -> Reprint:
        code, at_least = (outcome.code, 0) if told is None else (told.code, told.reprint_count)
        copy_number = self._store.count_copy(at_least=at_least) if code == APPROVED else None
        return Reprint(outcome=outcome, copy_number=copy_number, sold_at=last.transmitted_at)

    def ticket_printed(self) -> None:
        """Remember to say that the customer has the ticket of the last sale; once for each sale."""
        sale = self._store.sale
        if sale is None or sale.is_advised:
            return
        moment = self._moment()
        message = requests.advice(self._store.identity, moment, DATAFONO.decode(sale.request))
        self._store.store_advice(self._stored(ExchangeKind.ADVICE, moment, message))
        self._new_advice = self._store.advices[-1]

    def send_advices(self) -> None:
        """Send what waits, oldest first, each once; what gets no final answer is kept and goes out again after the next request."""
        for advice in self._store.advices:
            was_sent = advice != self._new_advice
            message = DATAFONO.decode(advice.request)
            outcome = self._link.run(self._dialogue(message, was_sent=was_sent, attempts_max=1))
            if not isinstance(outcome, Final):
                return
            self._store.drop_advice(advice)

    def repeat_last(self) -> Reprint:
        """Send the last sale again under its own key: the network gives its first answer, or ends what was open.

        Raises:
            NothingToRepeat: there is none, or repeating it could sell what was undone.
        """
        last = self._last_sale()
        if last.status in {ExchangeStatus.REVERSED, ExchangeStatus.NOT_SENT}:
            raise NothingToRepeat(last.status)
        outcome = self._link.run(self._dialogue(DATAFONO.decode(last.request), was_sent=True))
        is_from_memory = False
        if isinstance(outcome, Final):
            self._store.settle_sale(ExchangeStatus.FINAL, outcome.octets)
        elif last.answer is not None:
            outcome = Final(answer=DATAFONO.decode(last.answer), octets=last.answer)
            is_from_memory = True
        if not isinstance(outcome, Final) or not outcome.is_approved:
            return Reprint(outcome=outcome, is_from_memory=is_from_memory, sold_at=last.transmitted_at)
        return Reprint(
            outcome=outcome,
            copy_number=self._store.count_copy(),
            is_from_memory=is_from_memory,
            sold_at=last.transmitted_at,
        )

    def reverse_last(self) -> Reprint:
        """Ask to undo the last sale; an unfinished reversal is asked again under its own key.

        Where the sale stands its answer carries the ticket, which is a copy.

        Raises:
            NothingToRepeat: there is no sale to undo, or it is undone already.
        """
        last = self._last_sale()
        if last.status in {ExchangeStatus.REVERSED, ExchangeStatus.NOT_SENT}:
            raise NothingToRepeat(last.status)
        pending = self._store.reversal
        if pending is not None and pending.status is ExchangeStatus.OPEN:
            dialogue = self._dialogue(DATAFONO.decode(pending.request), was_sent=True)
            is_first = False
        else:
            moment = self._moment()
            message = requests.reversal(self._store.identity, moment, DATAFONO.decode(last.request))
            self._store.store_reversal(self._stored(ExchangeKind.REVERSAL, moment, message))
            dialogue = self._dialogue(message)
            is_first = True
        outcome = self._link.run(dialogue)
        if isinstance(outcome, NotSent) and is_first:
            self._store.settle_reversal(ExchangeStatus.NOT_SENT)
        if not isinstance(outcome, Final):
            return Reprint(outcome=outcome)
        self._settle_reversal(outcome)
        has_ticket = outcome.code == SALE_STANDS and SALE_LINES in outcome.answer
        return Reprint(outcome=outcome, copy_number=self._store.count_copy() if has_ticket else None)

    def _sale(self, moment: Moment, message: IsoMessage) -> Outcome:
        self._store.store_sale(self._stored(ExchangeKind.SALE, moment, message))
        outcome = self._link.run(self._dialogue(message))
        if isinstance(outcome, Final):
            self._store.settle_sale(ExchangeStatus.FINAL, outcome.octets)
        elif isinstance(outcome, NotSent):
            self._store.settle_sale(ExchangeStatus.NOT_SENT)
        return outcome

    def _settle_reversal(self, outcome: Final) -> None:
        """Close the reversal, and the sale by what the reversal's answer says of it."""
        sale_status = None
        if outcome.code in {APPROVED, ORIGINAL_NOT_FOUND}:
            sale_status = ExchangeStatus.REVERSED
        elif outcome.code == SALE_STANDS:
            sale_status = ExchangeStatus.FINAL
        self._store.settle_reversal(ExchangeStatus.FINAL, outcome.octets, sale_status=sale_status)

    def _last_sale(self) -> StoredExchange:
        last = self._store.sale
        if last is None:
            raise NothingToRepeat(None)
        return last

    def _stored(self, kind: ExchangeKind, moment: Moment, message: IsoMessage) -> StoredExchange:
        octets = requests.seal(message, self._signer)
        return StoredExchange(kind=kind, transmitted_at=moment.transmitted_at, request=octets)

    def _moment(self) -> Moment:
        return Moment(stan=self._store.take_stan(), transmitted_at=self._now().replace(microsecond=0))


def _told(answer: Final) -> OriginalTold | None:
    """What an approved answer tells of an earlier sale, None for any other answer."""
    if not answer.is_approved:
        return None
    try:
        return read_original(answer.answer)
    except AnswerMalformed:
        return None
