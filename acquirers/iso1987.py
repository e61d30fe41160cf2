"""The adapters of ISO 8583:1987: dialect ``datafono`` (bank-style POS terminals) and dialect ``recargas`` (top-up networks).

They differ in how a message is packed and in nothing else. Sources: docs/wire/datafono.md, docs/wire/recargas.md.
"""

from datetime import datetime
from typing import Final

from acquirers import iso1987_answers as answers
from acquirers.host_link import network_request_1987
from acquirers.iso1987_batch import BATCH_MTIS
from acquirers.iso1987_requests import read_call
from acquirers.iso1987_totals import SETTLEMENT_DATE, totals_fields
from acquirers.iso_dialect import IsoDialect
from acquirers.notices import VERDICTS_1987, notice_1987
from acquirers.version import Version
from messages.iso_message import IsoMessage
from messages.transmission_time import read_transmission_time
from messages.wire import DATAFONO_WIRE, RECARGAS_WIRE
from vending.order import RequestKey


def _request_key(answer: IsoMessage, acquirer_id: str, now: datetime) -> RequestKey:
    """Read MTI, 7, 11 and 41 of an answer back."""
    return RequestKey(
        acquirer_id=acquirer_id,
        terminal_id=answer.text(41).rstrip(),
        transmitted_at=read_transmission_time(answer.text(7), now),
        stan=answer.text(11),
        message_class=f"{answer.mti[:2]}{int(answer.mti[2]) - 1}0",
    )


VERSION_1987: Final = Version(
    read_call=read_call,
    answer=answers.answer,
    sale_fields=answers.sale_fields,
    inquiry_fields=answers.inquiry_fields,
    last_answer_fields=answers.last_answer_fields,
    totals_fields=totals_fields,
    cut_over_fields=lambda message: {SETTLEMENT_DATE: message.text(SETTLEMENT_DATE)},
    request_key=_request_key,
    batch_mtis=BATCH_MTIS,
    network_request=network_request_1987,
    notice=notice_1987,
    verdicts=VERDICTS_1987,
)


class DatafonoDialect(IsoDialect):
    """Dialect ``datafono``."""

    def __init__(self) -> None:
        super().__init__(DATAFONO_WIRE, VERSION_1987)


class RecargasDialect(IsoDialect):
    """Dialect ``recargas``."""

    def __init__(self) -> None:
        super().__init__(RECARGAS_WIRE, VERSION_1987)
