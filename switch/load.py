"""How much of one network is in work and how fast it asks; both outlive a change of its configuration."""

from config.acquirer import AcquirerSection


class TokenBucket:
    """Lets requests through at a rate, and a burst of them at once. Pure: the time is an argument.

    Args:
        per_second: tokens that are added in a second.
        burst: most that it holds; it begins full.
        now: seconds of a clock that never steps.
    """

    def __init__(self, *, per_second: float, burst: int, now: float) -> None:
        self.per_second = per_second
        self.burst = burst
        self._level = float(burst)
        self._filled_at = now

    def take(self, now: float) -> bool:
        """Take one token; False: there is none, and nothing was taken."""
        self._fill(now)
        if self._level < 1.0:
            return False
        self._level -= 1.0
        return True

    def adopt(self, *, per_second: float, burst: int, now: float) -> None:
        """Go on with another rate and burst; what was used up stays used up."""
        self._fill(now)
        self._level = min(float(burst), self._level + max(0, burst - self.burst))
        self.per_second, self.burst = per_second, burst

    def _fill(self, now: float) -> None:
        self._level = min(float(self.burst), self._level + max(0.0, now - self._filled_at) * self.per_second)
        self._filled_at = now


class Load:
    """What one network has in work.

    Attributes:
        in_work: requests in work on all its connections, whichever configuration they began with.
    """

    def __init__(self) -> None:
        self.in_work = 0
        self._bucket: TokenBucket | None = None

    def adopt(self, section: AcquirerSection, now: float) -> None:
        """Hold the network to the rate of *section* from now on."""
        rate, burst = section.requests_per_second_max, section.requests_burst_max
        if rate is None:
            self._bucket = None
        elif self._bucket is None:
            self._bucket = TokenBucket(per_second=rate, burst=burst, now=now)
        else:
            self._bucket.adopt(per_second=rate, burst=burst, now=now)

    def is_within_rate(self, now: float) -> bool:
        """Whether one more request may begin; it is counted."""
        return self._bucket is None or self._bucket.take(now)
