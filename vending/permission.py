"""What a network may sell: services, kinds, amounts and hours. A pure rule, asked before anything is taken."""

from dataclasses import dataclass
from datetime import datetime, time

from vending.calendar import local_time
from vending.money import Centavos
from vending.order import OrderKind, SaleOrder
from vending.response_code import ResponseCode
from vending.service import Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """A part of the day on the clocks of America/Bogota: ``opens`` is inside, ``closes`` is not. ``closes`` first: over midnight."""

    opens: time
    closes: time

    def __str__(self) -> str:
        return f"{self.opens:%H:%M}-{self.closes:%H:%M}"

    def contains(self, moment: datetime) -> bool:
        """Whether *moment*, which must be aware, is inside.

        >>> from datetime import UTC
        >>> night = Hours(opens=time(20), closes=time(2))
        >>> [night.contains(datetime(2026, 8, 14, hour, tzinfo=UTC)) for hour in (0, 1, 6, 7)]
        [False, True, True, False]
        """
        clock = local_time(moment).time()
        if self.opens < self.closes:
            return self.opens <= clock < self.closes
        return clock >= self.opens or clock < self.closes


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """What one network may sell.

    Attributes:
        is_stopped: it sells nothing for now, by its configuration.
        services: None: any.
        hours: empty: all day.
    """

    is_stopped: bool
    kinds: frozenset[OrderKind]
    services: frozenset[Service] | None
    minimum_paid_centavos: Centavos
    maximum_paid_centavos: Centavos
    hours: tuple[Hours, ...]

    def refusal_of(self, order: SaleOrder) -> ResponseCode | None:
        """Return why this network may not make this sale, None if it may; the first reason in order of precedence.

        A request that names no service is judged once its meter is known: `vending.order.SaleOrder.services`.
        """
        if self.is_stopped:
            return ResponseCode.ACQUIRER_STOPPED
        if self.hours and not any(hours.contains(order.received_at) for hours in self.hours):
            return ResponseCode.OUTSIDE_HOURS
        if order.kind not in self.kinds:
            return ResponseCode.NOT_PERMITTED
        if order.service is not None and self.services is not None and order.service not in self.services:
            return ResponseCode.NOT_PERMITTED
        if order.paid_centavos < self.minimum_paid_centavos:
            return ResponseCode.AMOUNT_BELOW_MINIMUM
        if order.paid_centavos > self.maximum_paid_centavos:
            return ResponseCode.AMOUNT_ABOVE_MAXIMUM
        return None
