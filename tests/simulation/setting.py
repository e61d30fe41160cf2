"""What all parts of one simulated run share: the random numbers, the two clocks, the weather, the trace and the counts."""

import hashlib
from collections import Counter, defaultdict, deque
from datetime import datetime, timedelta
from random import Random

from twisted.internet.task import Clock

from tests.simulation.faults import CALM, Weather
from tests.simulation.town import BASE

Key = tuple[str, str, str, str]
"""Terminal, data element 7, STAN and message class."""

OF_THE_MOMENT = frozenset({"77", "79", "90", "91", "92", "96"})
"""Nothing was taken and nothing is stored; only a first copy may be told so."""

TRACE_LINES_MAX = 4000
"""Kept for the report of a run that fails."""

VIOLATIONS_MAX = 20


class Setting:
    """One run's world.

    Attributes:
        clock: virtual time in seconds, never stepping.
        random: the only source of chance.
        weather: what goes wrong now.
        faults: how often each fault was injected.
        violations: what must not happen and did.
        refused_by: which processes told the first copy of a request no for a reason of the moment, with a MAC.
        reserved_by: which process reserved the sale of a request.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.clock = Clock()
        self.weather: Weather = CALM
        self.faults: Counter[str] = Counter()
        self.violations: list[str] = []
        self.refused_by: defaultdict[Key, set[str]] = defaultdict(set)
        self.reserved_by: dict[Key, str] = {}
        self.trace: deque[str] = deque(maxlen=TRACE_LINES_MAX)
        self._step_seconds = 0.0
        self._hash = hashlib.sha256()

    @property
    def true_now(self) -> datetime:
        """The time of day where nobody touches the clock."""
        return BASE + timedelta(seconds=self.clock.seconds())

    def now(self) -> datetime:
        """Return the switch's time of day, which steps."""
        return self.true_now + timedelta(seconds=self._step_seconds)

    def step_clock(self, seconds: float) -> None:
        """Set the switch's clock forward or back."""
        self._step_seconds += seconds
        self.count("clock stepped forward" if seconds > 0 else "clock stepped back")
        self.tell(f"clock stepped by {seconds:.0f} s")

    def latency(self) -> float:
        """Draw how long something near takes: mostly a millisecond or a few."""
        return 0.0005 + self.random.expovariate(500)

    def happens(self, chance: float, name: str) -> bool:
        """Draw whether a fault happens, and count it."""
        if not chance or self.random.random() >= chance:
            return False
        self.count(name)
        self.tell(name)
        return True

    def count(self, name: str) -> None:
        """Count one fault."""
        self.faults[name] += 1

    def tell(self, line: str) -> None:
        """Write a line of the trace."""
        line = f"{self.clock.seconds():12.4f} {line}"
        self._hash.update(line.encode())
        self.trace.append(line)

    @property
    def fingerprint(self) -> str:
        """The same for two runs only if all that was told was the same, in the same order."""
        return self._hash.hexdigest()[:16]

    def violation(self, what: str) -> None:
        """Note what must not happen."""
        self.tell(f"VIOLATION {what}")
        if len(self.violations) < VIOLATIONS_MAX:
            self.violations.append(what)
