"""What the two sides of a link have agreed on, taken from the network's section of the configuration."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from acquirers.action_codes import action_code
from acquirers.registry import SPELLINGS
from config.acquirer import AcquirerSection
from config.sale import SaleSection
from messages.framing import FrameStyle
from messages.iso_message import IsoMessage
from messages.wire import WIRES, Wire
from pos.speech import Speech, speech_of
from vending.money import Centavos
from vending.response_code import ResponseCode

_STYLES: Final = {"binary2": FrameStyle.BINARY_2, "ascii4": FrameStyle.DIGITS_4}

USUAL_CENTAVOS: Final = Centavos(2_000_000)
"""What a customer pays where the network's limits let him."""

PESO: Final = 100


class AgreedSpeech:
    """A dialect as one network agreed on it: framing of its own, and other spellings of data element 39.

    Args:
        speech: of the dialect.
        wire: as agreed.
        changes: agreed spellings, by the dialect's own.
    """

    def __init__(self, speech: Speech, wire: Wire, changes: Mapping[str, str]) -> None:
        self.wire = wire
        self.has_batches = speech.has_batches
        self._speech = speech
        self._own = {agreed: own for own, agreed in changes.items()}

    def to_network(self, message: IsoMessage) -> IsoMessage:
        """See `pos.speech.Speech`."""
        return self._speech.to_network(message)

    def from_network(self, answer: IsoMessage, request: IsoMessage) -> IsoMessage:
        """See `pos.speech.Speech`."""
        own = self._own.get(answer.get(39) or "")
        return self._speech.from_network(answer if own is None else answer.with_fields({39: own}), request)


@dataclass(frozen=True, slots=True, kw_only=True)
class Partner:
    """A network, as its own side knows it.

    Attributes:
        id: of its table in the configuration.
        dialect: which words it speaks.
        wire: how its messages are packed and framed.
        speech: between a terminal's words and the network's.
        changes: spellings of data element 39 that were agreed on, by the dialect's own.
        is_sign_on_required: whether each link must sign on first.
        speakers: terminals that speak for the whole network.
        is_parked: whether a reversed recharge is parked; otherwise it stands.
        services: words of what it sells: energy, water, gas.
        kinds: recharge, payment.
        minimum_centavos: least amount of a recharge.
        maximum_centavos: greatest amount of a recharge.
        requests_per_second_max: above it 90 is the right answer; None: never.
    """

    id: str
    dialect: str
    wire: Wire
    speech: Speech = field(repr=False)
    changes: Mapping[str, str]
    is_sign_on_required: bool
    speakers: tuple[str, ...]
    is_parked: bool
    services: tuple[str, ...]
    kinds: tuple[str, ...]
    minimum_centavos: Centavos
    maximum_centavos: Centavos
    requests_per_second_max: int | None

    @property
    def usual_centavos(self) -> Centavos:
        """An amount that it may sell."""
        return Centavos(min(max(USUAL_CENTAVOS, self.minimum_centavos), self.maximum_centavos))

    def spelled(self, code: ResponseCode, message_class: str) -> str:
        """Return what must stand in data element 39 of the answer to a message of this class, in the network's own MTI."""
        text = action_code(message_class, code) if self.dialect == "loteria" else SPELLINGS[self.dialect][code]
        return self.changes.get(text, text)

    def is_1987(self, code: ResponseCode, text: str) -> bool:
        """Whether *text* is how a terminal that speaks 1987 spells *code*."""
        return SPELLINGS["recargas"][code] == text

    def code_named(self, text: str) -> str:
        """Return the name of the response code that is spelled so; empty if none is."""
        for code in ResponseCode:
            if text in {self.spelled(code, each) for each in ("0200", "1200", "1220", "1400", "1500", "1800")}:
                return code.value
        return ""


def partner_of(section: AcquirerSection, sale: SaleSection, now: Callable[[], datetime]) -> Partner:
    """Read a network's section.

    Args:
        section: of the network.
        sale: the utility's own limits.
        now: the clock of its terminals, aware.
    """
    wire = replace(WIRES[section.dialect], frame_style=_STYLES[section.framing], has_tpdu=section.has_tpdu)
    spellings = SPELLINGS[section.dialect]
    changes = {spellings[ResponseCode(name)]: text for name, text in section.response_codes.items()}
    return Partner(
        id=section.id,
        dialect=section.dialect,
        wire=wire,
        speech=AgreedSpeech(speech_of(section.dialect, now), wire, changes),
        changes=changes,
        is_sign_on_required=section.is_sign_on_required,
        speakers=section.network_terminals,
        is_parked=section.reversal_policy == "parked",
        services=section.sells.services,
        kinds=section.sells.kinds,
        minimum_centavos=Centavos(max(sale.minimum_paid_centavos, section.sells.minimum_paid_centavos)),
        maximum_centavos=Centavos(min(sale.maximum_paid_centavos, section.sells.maximum_paid_centavos)),
        requests_per_second_max=section.requests_per_second_max,
    )
