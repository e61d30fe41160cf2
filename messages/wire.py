"""The dialects as they are on the wire: field table, codec, MAC, and the framing that is usual with each."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from messages.codec import DATAFONO, LOTERIA, RECARGAS, Codec
from messages.framing import FrameStyle
from messages.iso8583_codec import Spec
from messages.mac import MacForm
from messages.specs import datafono, loteria, recargas


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """One dialect's octets.

    Attributes:
        name: of the dialect, as configuration and commands give it.
        spec: its field table.
        codec: made from it.
        mac_form: how a MAC stands in a message.
        frame_style: how a frame's length is written, unless a network's configuration says otherwise.
        has_tpdu: whether a TPDU stands before the message, likewise.
    """

    name: str
    spec: Spec
    codec: Codec
    mac_form: MacForm
    frame_style: FrameStyle
    has_tpdu: bool


DATAFONO_WIRE: Final = Wire(
    name="datafono",
    spec=datafono.SPEC,
    codec=DATAFONO,
    mac_form=MacForm.OCTETS,
    frame_style=FrameStyle.BINARY_2,
    has_tpdu=True,
)
RECARGAS_WIRE: Final = Wire(
    name="recargas",
    spec=recargas.SPEC,
    codec=RECARGAS,
    mac_form=MacForm.HEX,
    frame_style=FrameStyle.BINARY_2,
    has_tpdu=False,
)
LOTERIA_WIRE: Final = Wire(
    name="loteria",
    spec=loteria.SPEC,
    codec=LOTERIA,
    mac_form=MacForm.HEX,
    frame_style=FrameStyle.DIGITS_4,
    has_tpdu=False,
)

WIRES: Final[Mapping[str, Wire]] = MappingProxyType(
    {wire.name: wire for wire in (DATAFONO_WIRE, RECARGAS_WIRE, LOTERIA_WIRE)}
)
"""Every dialect by its name."""
