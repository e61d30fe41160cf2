"""Deciding one order against the state of its meter: refused with the first code in precedence, or priced. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import NamedTuple

from ledger.meters import MeterState
from vending.deductions import Deduction
from vending.money import Centavos
from vending.order import OrderKind, SaleOrder
from vending.parked import ParkedSale, claimable, keep_as_remainder
from vending.payment import pay_obligations
from vending.policy import SalePolicy
from vending.quote import Quote, QuoteInput, Voluntary, quote
from vending.response_code import Refusal, ResponseCode
from vending.tariff import TariffBook


class Rules(NamedTuple):
    """What applies to every sale."""

    tariffs: TariffBook
    policy: SalePolicy


def check_meter(meter: MeterState | None, order: SaleOrder) -> MeterState:
    """Return the meter if the order may go on, as far as that does not depend on anything a sale moves.

    Raises:
        Refusal: ``METER_UNKNOWN``, ``METER_BLOCKED``, ``WRONG_SERVICE``, ``NOT_PERMITTED`` or ``AMOUNT_INVALID``.
    """
    if meter is None:
        raise Refusal(ResponseCode.METER_UNKNOWN)
    if meter.is_blocked:
        raise Refusal(ResponseCode.METER_BLOCKED)
    if order.service is not None and order.service is not meter.account.service:
        raise Refusal(ResponseCode.WRONG_SERVICE)
    if order.services is not None and meter.account.service not in order.services:
        raise Refusal(ResponseCode.NOT_PERMITTED)
    if order.paid_centavos <= 0 or order.voluntary_centavos < 0 or order.voluntary_centavos > order.paid_centavos:
        raise Refusal(ResponseCode.AMOUNT_INVALID)
    return meter


def price(order: SaleOrder, meter: MeterState, deductions: list[Deduction], on: date, rules: Rules) -> Quote | None:
    """Return the quote of an order, or None where no tariff is published for the meter.

    A missing tariff is not raised: whether the float covers the sale comes before it in precedence.

    Raises:
        Refusal: what the quote, or the payment to obligations, refuses.
    """
    if order.kind is OrderKind.PAYMENT:
        return pay_obligations(
            deductions,
            amount_centavos=order.paid_centavos,
            obligation=order.voluntary_obligation,
            month_to_date_tenths=meter.month_to_date(on),
        )
    voluntary = None
    if order.voluntary_centavos > 0:
        voluntary = Voluntary(obligation=order.voluntary_obligation or "", amount_centavos=order.voluntary_centavos)
        if not any(item.kind == "obligation" and item.id == voluntary.obligation for item in deductions):
            raise Refusal(ResponseCode.UNKNOWN_OBLIGATION)
    policy = rules.policy
    if order.paid_centavos < policy.minimum_paid_centavos:
        raise Refusal(ResponseCode.AMOUNT_BELOW_MINIMUM)
    if order.paid_centavos > policy.maximum_paid_centavos:
        raise Refusal(ResponseCode.AMOUNT_ABOVE_MAXIMUM)
    account = meter.account
    version = rules.tariffs.find(account.service, account.user_class, account.stratum, account.altitude, on)
    if version is None:
        return None
    return quote(
        QuoteInput(
            paid_centavos=order.paid_centavos,
            carried_in_centavos=meter.remainder_centavos,
            month_to_date_tenths=meter.month_to_date(on),
            tariff=version.tariff,
            deductions=deductions,
            cap_basis_points=policy.cap_basis_points,
            voluntary=voluntary,
            tokens_max=policy.tokens_max,
        )
    )


def price_with_parked(
    order: SaleOrder,
    meter: MeterState,
    deductions: list[Deduction],
    on: date,
    rules: Rules,
    *,
    parked: Sequence[ParkedSale],
) -> tuple[Quote | None, tuple[ParkedSale, ...]]:
    """Return what the order claims of the meter's parked sales, and the quote of the rest as of an ordinary sale.

    A rest below the minimum, or one that buys nothing, goes to the customer's remainder. Payments claim nothing, and neither does a
    recharge with a voluntary payment: its money is meant for something else.

    Raises:
        Refusal: as `price`.
    """
    is_claiming = order.kind is OrderKind.RECHARGE and not order.voluntary_centavos
    claimed = claimable(parked, order.paid_centavos) if is_claiming else ()
    if not claimed:
        return price(order, meter, deductions, on, rules), ()
    if order.paid_centavos < rules.policy.minimum_paid_centavos:
        raise Refusal(ResponseCode.AMOUNT_BELOW_MINIMUM)
    if order.paid_centavos > rules.policy.maximum_paid_centavos:
        raise Refusal(ResponseCode.AMOUNT_ABOVE_MAXIMUM)
    rest = Centavos(order.paid_centavos - sum(sale.paid_centavos for sale in claimed))
    if rest >= rules.policy.minimum_paid_centavos:
        try:
            return price(replace(order, paid_centavos=rest), meter, deductions, on, rules), claimed
        except Refusal as refusal:
            if refusal.code is not ResponseCode.AMOUNT_TOO_LOW:
                raise
    kept = keep_as_remainder(
        rest, carried_in_centavos=meter.remainder_centavos, month_to_date_tenths=meter.month_to_date(on)
    )
    return kept, claimed
