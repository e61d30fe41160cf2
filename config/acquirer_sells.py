"""Section ``acquirers.<id>.sells``: what one network may sell, when, and for how much."""

import re
from datetime import time
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from config.sale import CENTAVOS_MAX
from config.section import Section
from vending.permission import Hours

_HOURS = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)


def _split_hours(value: Any) -> Any:
    match = _HOURS.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('hours are written "HH:MM-HH:MM"')
    opens, closes = time(int(match[1]), int(match[2])), time(int(match[3]), int(match[4]))
    if opens == closes:
        raise ValueError("the hours open and close at the same minute; leave them out to sell all day")
    return Hours(opens=opens, closes=closes)


HoursText = Annotated[Hours, BeforeValidator(_split_hours), PlainSerializer(str, return_type=str)]
"""Hours of the day in America/Bogota, ``"06:00-22:00"``; ``"20:00-02:00"`` goes over midnight."""

ServiceName = Literal["energy", "water", "gas"]
KindName = Literal["recharge", "payment"]


class SellsSection(Section):
    """What a network may sell. Anything else is refused before anything is taken, and the refusal is final for that request.

    Attributes:
        services: what it may sell recharges and payments for.
        kinds: ``recharge`` gives units, ``payment`` pays obligations and gives no token.
        minimum_paid_centavos: least amount of one sale of this network; the utility's own limits hold as well.
        maximum_paid_centavos: greatest amount, likewise.
        hours: times of day in America/Bogota, ``"06:00-22:00"``; the first minute is inside, the last is not; ``"20:00-02:00"`` goes
            over midnight. Empty: all day.
    """

    services: Annotated[tuple[ServiceName, ...], Field(min_length=1, max_length=3)] = ("energy", "water", "gas")
    kinds: Annotated[tuple[KindName, ...], Field(min_length=1, max_length=2)] = ("recharge", "payment")
    minimum_paid_centavos: int = Field(default=1, ge=1, le=CENTAVOS_MAX)
    maximum_paid_centavos: int = Field(default=CENTAVOS_MAX, ge=1, le=CENTAVOS_MAX)
    hours: Annotated[tuple[HoursText, ...], Field(max_length=8)] = ()

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> Self:
        if self.minimum_paid_centavos > self.maximum_paid_centavos:
            raise ValueError("minimum_paid_centavos is above maximum_paid_centavos: nothing could be sold")
        return self
