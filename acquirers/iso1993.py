"""The adapter of dialect ``loteria``: lottery networks, ISO 8583:1993. Source: docs/wire/loteria.md."""

from typing import Final

from acquirers import iso1993_answers as answers
from acquirers.host_link import network_request_1993
from acquirers.iso1987_answers import inquiry_fields
from acquirers.iso1993_requests import read_call, request_key
from acquirers.iso_dialect import IsoDialect
from acquirers.notices import VERDICTS_1993, notice_1993
from acquirers.version import Version
from messages.wire import LOTERIA_WIRE

VERSION_1993: Final = Version(
    read_call=read_call,
    answer=answers.answer,
    sale_fields=answers.sale_fields,
    inquiry_fields=inquiry_fields,
    last_answer_fields=answers.last_answer_fields,
    totals_fields=answers.totals_fields,
    cut_over_fields=answers.cut_over_fields,
    request_key=request_key,
    batch_mtis=frozenset(),
    network_request=network_request_1993,
    notice=notice_1993,
    verdicts=VERDICTS_1993,
)


class LoteriaDialect(IsoDialect):
    """Dialect ``loteria``."""

    def __init__(self) -> None:
        super().__init__(LOTERIA_WIRE, VERSION_1993)
