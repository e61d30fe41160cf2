"""What is printed of payments that were taken without a line: the provisional ticket, and what became of each after the upload. Pure."""

from dataclasses import dataclass
from datetime import datetime

from messages.codec import DATAFONO
from messages.iso_message import IsoMessage
from messages.subfields import first_value, parse_sub_elements
from pos.amounts import format_centavos
from pos.dialogue import APPROVED
from pos.display import ExitStatus, Shown, Style, show_refusal
from pos.paper import Paper
from pos.store import ExchangeKind, StoredExchange
from pos.texts import SPANISH, answer_text, ticket_words
from pos.ticket import set_utility
from pos.upload import Upload, Uploaded
from vending.calendar import local_time
from vending.money import Centavos


@dataclass(frozen=True, slots=True, kw_only=True)
class _Words:
    pending: str
    trace: str
    received: str
    provisional: tuple[str, ...]
    full: str
    nothing: str
    meter: str
    advice: str
    done: str
    declined: str
    give_back: str
    open: str
    sums: str
    again: str


_SPANISH = _Words(
    pending="*** PENDIENTE DE CONFIRMAR ***",
    trace="Comprobante",
    received="VALOR RECIBIDO",
    provisional=(
        "TIQUETE PROVISIONAL: este pago aún no está registrado. Se registra cuando el datáfono recupere la comunicación.",
        "Si no se acepta, este punto de venta le devuelve el dinero. Conserve este tiquete.",
    ),
    full="Hay demasiados pagos sin enviar; envíelos con «eudora pos upload». No reciba este dinero.",
    nothing="No hay pagos por enviar.",
    meter="medidor {number}",
    advice="aviso de entrega",
    done="REGISTRADO, recibo {receipt}",
    declined="DECLINADO {code}: {text}",
    give_back="Devuelva el dinero al cliente.",
    open="SIN RESPUESTA FINAL, sigue guardado",
    sums="Registrados {done}, declinados {declined}, por enviar {open}",
    again="Envíe de nuevo con «eudora pos upload»; nada se cobra dos veces.",
)
_ENGLISH = _Words(
    pending="*** NOT CONFIRMED YET ***",
    trace="Trace number",
    received="AMOUNT RECEIVED",
    provisional=(
        "PROVISIONAL TICKET: this payment is not recorded yet. It will be when the terminal has its line again.",
        "If it is not accepted this point of sale gives the money back. Keep this ticket.",
    ),
    full='Too many payments wait to be sent; send them with "eudora pos upload". Do not take this money.',
    nothing="No payment waits to be sent.",
    meter="meter {number}",
    advice="delivery advice",
    done="RECORDED, receipt {receipt}",
    declined="DECLINED {code}: {text}",
    give_back="Give the money back to the customer.",
    open="NO FINAL ANSWER, still stored",
    sums="Recorded {done}, declined {declined}, to be sent {open}",
    again='Send again with "eudora pos upload"; nothing is charged twice.',
)


def show_provisional(exchange: StoredExchange, style: Style) -> Shown:
    """Set the ticket of a payment that is stored and not done: above and below it says so."""
    words, fixed = _words(style), ticket_words(style.language)
    message = DATAFONO.decode(exchange.request)
    paper = Paper(style.columns)
    set_utility(paper, style.utility)
    paper.rule("═")
    paper.centre(fixed.payment)
    paper.centre(words.pending)
    paper.rule("═")
    paper.pair(words.trace, message.text(11))
    paper.pair(fixed.issued_at, f"{local_time(exchange.transmitted_at):%d/%m/%Y %H:%M:%S}")
    paper.pair(fixed.point_of_sale, message.text(42).strip())
    paper.pair(fixed.terminal, message.text(41))
    paper.rule()
    paper.pair(fixed.meter, message.text(2))
    obligation = first_value(parse_sub_elements(message.get(48) or ""), "OB")
    if obligation is not None:
        paper.pair(fixed.obligation, obligation)
    paper.pair(words.received, _paid(message))
    paper.rule("═")
    for sentence in words.provisional:
        paper.centre(sentence)
    paper.centre(style.utility.complaints_line)
    paper.centre(words.pending)
    return Shown(text=paper.render(), status=ExitStatus.APPROVED)


def show_offline_full(style: Style) -> Shown:
    """Say that no more payments can be taken without a line."""
    return Shown(text=_words(style).full + "\n", status=ExitStatus.DECLINED)


def show_upload(upload: Upload, style: Style) -> Shown:
    """Tell of each record on a line what became of it, and of all together.

    Exit status 0 if all were done, 1 if some were declined, 3 as long as some have no final answer.
    """
    words = _words(style)
    if not upload.records:
        return Shown(text=words.nothing + "\n", status=ExitStatus.APPROVED)
    lines = [_line(record, style) for record in upload.records]
    is_open = sum(not record.is_final for record in upload.records)
    declined = sum(record.is_final and not _is_done(record) for record in upload.records)
    done = len(upload.records) - is_open - declined
    lines.append(words.sums.format(done=done, declined=declined, open=is_open))
    if upload.failure is not None:
        lines.append(show_refusal(upload.failure, style, moves_money=False).text.rstrip("\n"))
    if is_open:
        lines.append(words.again)
    status = ExitStatus.UNKNOWN if is_open else ExitStatus.DECLINED if declined else ExitStatus.APPROVED
    return Shown(text="\n".join(lines) + "\n", status=status)


def _line(record: Uploaded, style: Style) -> str:
    words = _words(style)
    message = DATAFONO.decode(record.exchange.request)
    is_payment = record.exchange.kind is ExchangeKind.SALE
    what = f"{words.meter.format(number=message.text(2))} {_paid(message)}" if is_payment else words.advice
    return f"{message.text(11)} {_moment(record.exchange.transmitted_at)} {what}: {_outcome(record, style)}"


def _outcome(record: Uploaded, style: Style) -> str:
    words, told = _words(style), record.told
    if told is None or not record.is_final:
        return words.open
    is_payment = record.exchange.kind is ExchangeKind.SALE
    if told.code == APPROVED:
        return words.done.format(receipt=told.receipt) if is_payment else answer_text(APPROVED, style.language)
    refused = words.declined.format(code=told.code, text=answer_text(told.code, style.language))
    return f"{refused}. {words.give_back}" if is_payment else refused


def _is_done(record: Uploaded) -> bool:
    return record.told is not None and record.told.code == APPROVED


def _paid(message: IsoMessage) -> str:
    return format_centavos(Centavos(message.number(4)))


def _moment(transmitted_at: datetime) -> str:
    return f"{local_time(transmitted_at):%d/%m/%Y %H:%M:%S}"


def _words(style: Style) -> _Words:
    return _SPANISH if style.language == SPANISH else _ENGLISH
