"""Networks take turns at the security module's verifications.

A MAC is looked at before anything else is done with a request, so whoever has no key can ask for as many verifications as he can send
requests, and whoever has one can send thousands at once. All networks share the module's line, which takes no more than
`hsm_client.limits.LinkLimits.in_flight_max` and answers first come, first served. So few verifications are under way at a time, whoever
asked; what is more waits in a queue of its own network, and each place that becomes free goes to the next network that waits.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from twisted.internet.defer import Deferred

from vending.ports import MacKey, ModuleUnavailable, SecurityModule

Item = TypeVar("Item")

PLACES: Final = 64
"""Of a process. A module that looks at a MAC in 16 to 130 microseconds is through with so many in 1 to 8 milliseconds, which is the longest
that anybody waits for what others asked before; more at a time would not make it faster."""

WAIT_SECONDS_MAX: Final = 2.0
"""Who names no time waits no longer for its turn than a module may take for its answer."""


class Turns(Generic[Item]):
    """Who is under way and who is next. Pure.

    Args:
        places: how many may be under way.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        # The next place is of the network that stands first; who got one goes to the end.
        self._waiting: OrderedDict[str, deque[Item]] = OrderedDict()

    def begin(self) -> bool:
        """Take a place if one is free; nobody waits where one is."""
        if not self._free:
            return False
        self._free -= 1
        return True

    def wait(self, network: str, item: Item) -> None:
        """Have *item* wait behind those of its network."""
        self._waiting.setdefault(network, deque()).append(item)

    def end(self) -> Item | None:
        """Give a place back; returns who has it now, if anybody waits."""
        if not self._waiting:
            self._free += 1
            return None
        network, items = self._waiting.popitem(last=False)
        item = items.popleft()
        if items:
            self._waiting[network] = items
        return item


class VerificationTurns:
    """The turns of one process's networks."""

    def __init__(self, places: int = PLACES) -> None:
        self._turns: Turns[Deferred[None]] = Turns(places)
        self._given_back = 0
        self._is_giving = False

    def begin(self) -> bool:
        """See `Turns.begin`."""
        return self._turns.begin()

    def wait(self, network: str) -> Deferred[None]:
        """Return what fires when it is this one's turn; it has a place then."""
        turn: Deferred[None] = Deferred()
        self._turns.wait(network, turn)
        return turn

    def end(self) -> None:
        """Give a place back."""
        self._given_back += 1
        if self._is_giving:
            return  # whoever got a place gives it back at once; a thousand of them must not call each other
        self._is_giving = True
        while self._given_back:
            self._given_back -= 1
            turn = self._turns.end()
            if turn is not None:
                turn.callback(None)
        self._is_giving = False


class InTurn:
    """The security module as one network sees it: `vending.ports.SecurityModule`, whose verifications wait for their turn.

    Args:
        module: the real one.
        turns: shared by the networks.
        network: whose this is.
        now: a clock in seconds that never steps.
        count_wait: is told each time that a verification has to wait.
    """

    def __init__(
        self,
        module: SecurityModule,
        turns: VerificationTurns,
        *,
        network: str,
        now: Callable[[], float],
        count_wait: Callable[[], None] = lambda: None,
    ) -> None:
        self.mint = module.mint
        self.change_key = module.change_key
        self.generate_mac = module.generate_mac
        self._module = module
        self._turns = turns
        self._network = network
        self._now = now
        self._count_wait = count_wait

    async def verify_mac(self, key: MacKey, data: bytes, mac: bytes, *, timeout_seconds: float | None = None) -> None:
        """See `vending.ports.SecurityModule`; `ModuleUnavailable` too if its turn does not come in time. Then it is not sent."""
        turns = self._turns
        if not turns.begin():
            timeout_seconds = await self._wait(timeout_seconds)
        try:
            if timeout_seconds is not None and timeout_seconds <= 0.0:
                raise ModuleUnavailable("its turn came too late")
            await self._module.verify_mac(key, data, mac, timeout_seconds=timeout_seconds)
        finally:
            turns.end()

    async def _wait(self, timeout_seconds: float | None) -> float:
        """Wait for a place; returns how much of the time is left."""
        until = self._now() + (WAIT_SECONDS_MAX if timeout_seconds is None else timeout_seconds)
        self._count_wait()
        await self._turns.wait(self._network)
        return until - self._now()
