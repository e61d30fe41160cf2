"""What a network's own host says to a switch that opened a link to it: sign-on, sign-off and echo are approved. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from acquirers.calls import NetworkRequest
from acquirers.host_link import CODES_1987, FUNCTIONS_1993
from acquirers.registry import SPELLINGS
from messages.iso_message import DecodeError, IsoMessage
from messages.tpdu import TpduError, turn_tpdu
from messages.wire import Wire
from vending.response_code import ResponseCode

_FUNCTION_1993: Final = 24
_FUNCTION_1987: Final = 70
_ECHOED: Final = (7, 11, 12, _FUNCTION_1993, _FUNCTION_1987)

_ASKED: Final[Mapping[tuple[str, int, str], NetworkRequest]] = {
    **{("0800", _FUNCTION_1987, text): request for request, text in CODES_1987.items()},
    **{("1804", _FUNCTION_1993, text): request for request, text in FUNCTIONS_1993.items()},
}

_APPROVALS_1993: Final = {"1804": "800"}
"""Action code of an approved network management request; 1987 has one approval for everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostAnswer:
    """What the switch asked, and the frame that approves it (without its length)."""

    asked: NetworkRequest
    frame: bytes


def host_answer(wire: Wire, dialect: str, frame: bytes) -> HostAnswer | None:
    """Answer a frame that came over a link which the switch opened; None: it asks nothing of the host.

    Args:
        wire: how messages are packed and framed.
        dialect: of the network.
        frame: without its length.
    """
    try:
        tpdu, body = turn_tpdu(frame) if wire.has_tpdu else (b"", frame)
        message = wire.codec.decode(body)
    except (TpduError, DecodeError):
        return None
    asked = next(
        (
            request
            for (mti, number, text), request in _ASKED.items()
            if message.mti == mti and message.get(number) == text
        ),
        None,
    )
    if asked is None:
        return None
    approval = _APPROVALS_1993.get(message.mti, SPELLINGS[dialect][ResponseCode.APPROVED])
    fields = {number: value for number, value in message.fields.items() if number in _ECHOED}
    answer = IsoMessage(mti=message.answer_mti, fields={**fields, 39: approval})
    return HostAnswer(asked=asked, frame=tpdu + wire.codec.encode(answer))
