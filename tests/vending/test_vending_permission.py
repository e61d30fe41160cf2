"""What a network may sell, as a table."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest

from vending.calendar import BOGOTA
from vending.money import Centavos
from vending.order import OrderKind, RequestKey, SaleOrder
from vending.permission import Hours, Permission
from vending.response_code import ResponseCode
from vending.service import Service

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=BOGOTA).astimezone(UTC)

ORDER = SaleOrder(
    key=RequestKey(acquirer_id="banco", terminal_id="T1", transmitted_at=NOON, stan="000001", message_class="0200"),
    digest=b"",
    kind=OrderKind.RECHARGE,
    service=Service.ENERGY,
    meter_number="37000000007",
    paid_centavos=Centavos(2_000_000),
    rrn="000000000001",
    request=b"",
    received_at=NOON,
)

ALL = Permission(
    is_stopped=False,
    kinds=frozenset(OrderKind),
    services=None,
    minimum_paid_centavos=Centavos(1_000_000),
    maximum_paid_centavos=Centavos(5_000_000),
    hours=(),
)

DAY = (Hours(opens=time(6), closes=time(22)),)
NIGHT = (Hours(opens=time(20), closes=time(2)),)
TWICE = (Hours(opens=time(6), closes=time(9)), Hours(opens=time(11, 59), closes=time(12, 1)))
WATER = frozenset({Service.WATER})


@pytest.mark.parametrize(
    ("permission", "order", "code"),
    [
        ({}, {}, None),
        ({"is_stopped": True}, {}, ResponseCode.ACQUIRER_STOPPED),
        ({"is_stopped": True, "hours": NIGHT}, {}, ResponseCode.ACQUIRER_STOPPED),
        ({"hours": DAY}, {}, None),
        ({"hours": NIGHT}, {}, ResponseCode.OUTSIDE_HOURS),
        ({"hours": TWICE}, {}, None),
        ({"hours": TWICE}, {"received_at": NOON + timedelta(minutes=1)}, ResponseCode.OUTSIDE_HOURS),
        ({"kinds": frozenset({OrderKind.PAYMENT})}, {}, ResponseCode.NOT_PERMITTED),
        ({"kinds": frozenset({OrderKind.PAYMENT})}, {"kind": OrderKind.PAYMENT}, None),
        ({"services": WATER}, {}, ResponseCode.NOT_PERMITTED),
        ({"services": WATER}, {"service": Service.WATER}, None),
        ({"services": WATER}, {"service": None}, None),
        ({}, {"paid_centavos": Centavos(999_999)}, ResponseCode.AMOUNT_BELOW_MINIMUM),
        ({}, {"paid_centavos": Centavos(1_000_000)}, None),
        ({}, {"paid_centavos": Centavos(5_000_000)}, None),
        ({}, {"paid_centavos": Centavos(5_000_001)}, ResponseCode.AMOUNT_ABOVE_MAXIMUM),
        ({"services": WATER, "hours": NIGHT}, {}, ResponseCode.OUTSIDE_HOURS),
    ],
)
def test_the_first_reason_in_order_of_precedence_is_given(
    permission: dict[str, object], order: dict[str, object], code: ResponseCode | None
) -> None:
    """Stopped, hours, kind, service, amount; a service that is not named is left to the ledger, which knows the meter."""
    assert replace(ALL, **permission).refusal_of(replace(ORDER, **order)) is code  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("hours", "inside", "outside"),
    [
        (DAY[0], ["06:00", "12:00", "21:59"], ["05:59", "22:00", "00:00"]),
        (NIGHT[0], ["20:00", "23:59", "00:00", "01:59"], ["02:00", "19:59", "12:00"]),
    ],
)
def test_hours_are_those_of_bogota_and_may_go_over_midnight(
    hours: Hours, inside: list[str], outside: list[str]
) -> None:
    """The first minute is inside and the last is not, whatever the machine's own zone is."""
    for clock in inside + outside:
        moment = datetime.combine(NOON.date(), time.fromisoformat(clock), BOGOTA).astimezone(UTC)
        assert hours.contains(moment) is (clock in inside), clock


def test_a_moment_without_a_zone_has_no_hour() -> None:
    """Otherwise the answer would depend on where the program runs."""
    with pytest.raises(ValueError, match="time zone"):
        DAY[0].contains(datetime(2026, 11, 23, 12))  # noqa: DTZ001 - that is what is tested
