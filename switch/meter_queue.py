"""Sales on one meter go one after the other.

A reservation holds its meter in the ledger, so a second sale would only be told to come back. Inside one process it waits here instead.
"""

from collections import deque

from twisted.internet.defer import Deferred

WAITING_SALES_MAX = 8
"""Per meter and network, so that no network can keep another from a meter. Nobody buys nine times at once for one house; more than this is a fault or an attack."""


class MeterQueueFull(Exception):
    """Too many sales wait for one meter."""


class MeterQueue:
    """Who sells on which meter now, and who waits. Keys are meter numbers."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[tuple[str, Deferred[None]]]] = {}

    def enter(self, meter_number: str, acquirer_id: str) -> Deferred[None] | None:
        """Take the meter for a sale of that network (None: it is yours now), or return what fires when it is.

        Raises:
            MeterQueueFull: when too many of this network wait already.
        """
        waiting = self._waiting.get(meter_number)
        if waiting is None:
            self._waiting[meter_number] = deque()
            return None
        if sum(1 for other, _ in waiting if other == acquirer_id) >= WAITING_SALES_MAX:
            raise MeterQueueFull
        turn: Deferred[None] = Deferred()
        waiting.append((acquirer_id, turn))
        return turn

    def leave(self, meter_number: str) -> None:
        """Give the meter to the next in line."""
        waiting = self._waiting[meter_number]
        if waiting:
            waiting.popleft()[1].callback(None)
        else:
            del self._waiting[meter_number]
