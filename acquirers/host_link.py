"""What we ask a network's host on a link that we opened, and how its answer is told from a request of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from acquirers.calls import NetworkRequest
from messages.iso_message import IsoMessage
from messages.local_date_time import write_local_date_time
from messages.transmission_time import write_transmission_time

CODES_1987: Final[Mapping[NetworkRequest, str]] = {
    NetworkRequest.SIGN_ON: "001",
    NetworkRequest.SIGN_OFF: "002",
    NetworkRequest.ECHO: "301",
}
"""Data element 70 of an 0800."""

FUNCTIONS_1993: Final[Mapping[NetworkRequest, str]] = {
    NetworkRequest.SIGN_ON: "801",
    NetworkRequest.SIGN_OFF: "802",
    NetworkRequest.ECHO: "831",
}
"""Data element 24 of an 1804."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostAnswer:
    """An answer of a host to something that we asked.

    Attributes:
        pairing: by what it is paired with its question: MTI class of the question, STAN and transmission time, as we sent them.
        is_approved: whether the host did what it was asked.
        code: its data element 39, for the log.
    """

    pairing: tuple[str, str, str]
    is_approved: bool
    code: str


def network_request_1987(request: NetworkRequest, stan: str, now: datetime) -> IsoMessage:
    """Make an 0800. *stan* is 6 digits, *now* aware."""
    fields = {7: write_transmission_time(now), 11: stan, 70: CODES_1987[request]}
    return IsoMessage(mti="0800", fields=fields)


def network_request_1993(request: NetworkRequest, stan: str, now: datetime) -> IsoMessage:
    """Make an 1804. *stan* is 6 digits, *now* aware."""
    fields = {7: write_transmission_time(now), 11: stan, 12: write_local_date_time(now), 24: FUNCTIONS_1993[request]}
    return IsoMessage(mti="1804", fields=fields)


def pairing_of(question: IsoMessage) -> tuple[str, str, str]:
    """Return what the answer to *question* will be paired by."""
    return question.message_class, question.text(11), question.text(7)


def read_host_answer(message: IsoMessage, approval: str) -> HostAnswer | None:
    """Return what *message* answers; None: it is a request, or it answers nothing that can be named.

    Args:
        message: what came on a link that we opened.
        approval: data element 39 of a host that approves a network management request.
    """
    if message.is_request or not {7, 11, 39} <= message.fields.keys():
        return None
    asked = f"{message.mti[:2]}{int(message.mti[2]) - 1}0"
    code = message.text(39)
    return HostAnswer(pairing=(asked, message.text(11), message.text(7)), is_approved=code == approval, code=code)
