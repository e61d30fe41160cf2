"""What a use case gives back to its port."""

from dataclasses import dataclass, field

from vending.order import ReservedSale
from vending.response_code import ResponseCode


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """An answer that may leave: its message (with MAC, without TPDU and framing) and what it says, for log and metrics.

    ``sale`` is there when this request reserved it. ``is_repeat`` tells an answer that was stored, or was being made, for an earlier copy of the same request.
    """

    code: ResponseCode
    body: bytes = field(repr=False)
    sale: ReservedSale | None = None
    is_repeat: bool = False
