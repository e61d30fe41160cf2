"""Finishes what was reserved and never ended: after a crash, a lost security module, a lost database.

Every sale that is reserved and old enough is asked again by its id. Minting again gives the same digits, posting again is impossible,
so it does not matter who does it first: this process, another one, or the request itself that was only slow. A terminal that repeats
does not wait for this: its repeat takes the sale up by itself (`switch.recharge`).
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from twisted.internet.defer import Deferred, DeferredList, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from config.switch import SwitchSection
from switch.again import Again
from switch.exchange import Exchange
from switch.in_flight import InFlight
from switch.log import Event, log
from switch.metrics import Metrics
from switch.stages import Stages
from vending.order import ReservedSale, UnresolvedLook
from vending.response_code import Refusal


class Resolver(Again):
    """Looks for unresolved sales at start and then again and again.

    Args:
        exchanges: by acquirer id; a sale is answered in the dialect of its network.
        find: reads what is reserved and has no outcome; runs elsewhere and fires.
    """

    def __init__(
        self,
        section: SwitchSection,
        *,
        exchanges: Mapping[str, Exchange],
        find: Callable[[UnresolvedLook], Deferred[Sequence[ReservedSale]]],
        in_flight: InFlight,
        metrics: Metrics,
        reactor: IReactorTime,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._section = section
        self._exchanges = exchanges
        self._find = find
        self._in_flight = in_flight
        self._metrics = metrics
        self._now = now
        self._monotonic = monotonic
        super().__init__(
            self.resolve,
            interval_seconds=section.resolver_interval_seconds,
            failed=Event.RESOLVER_FAILED,
            reactor=reactor,
        )

    async def resolve(self) -> None:
        """Take up the oldest unresolved sales and finish those that can be finished now."""
        now = self._now()
        before = now - timedelta(seconds=self._section.resolver_age_seconds)
        most = self._section.resolver_sales_max
        found = await self._find(UnresolvedLook(reserved_before=before, sales_max=most))
        self._metrics.unresolved.set(len(found))
        oldest = min((sale.reserved_at for sale in found), default=now)
        self._metrics.unresolved_oldest_seconds.set((now - oldest).total_seconds())
        mine = [sale for sale in found if sale.key not in self._in_flight]
        await DeferredList([ensureDeferred(self._finish(sale)) for sale in mine])

    async def _finish(self, sale: ReservedSale) -> None:
        outcome = "waiting"
        try:
            outcome = await self._complete(sale)
        except Refusal as refusal:
            log.info(Event.SALE_OUTCOME_UNKNOWN, sale_id=sale.sale_id, code=refusal.code, detail=refusal.private_detail)
        except Exception:  # noqa: BLE001 - one sale that cannot be finished must not keep the others
            outcome = "failed"
            log.error(Event.RESOLVER_FAILED, sale_id=sale.sale_id, failure=Failure().getTraceback())
        self._metrics.resolved.labels(outcome).inc()

    async def _complete(self, sale: ReservedSale) -> str:
        exchange = self._exchanges.get(sale.key.acquirer_id)
        if exchange is None:
            log.error(Event.RESOLVER_FAILED, sale_id=sale.sale_id, failure=f"no exchange for {sale.key.acquirer_id}")
            return "no_exchange"
        answered = await exchange.recharge.resolve(sale, Stages(exchange.metrics, self._monotonic))
        log.info(
            Event.SALE_RESOLVED,
            sale_id=sale.sale_id,
            acquirer_id=sale.key.acquirer_id,
            terminal_id=sale.key.terminal_id,
            stan=sale.key.stan,
            rrn=sale.rrn,
            code=answered.code,
        )
        return answered.code.value
