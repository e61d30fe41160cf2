"""Every limit of the client, named, with its reason. All times in seconds."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkLimits:
    """The limits of one link.

    Attributes:
        connect_timeout_seconds: a module stands in the same building; what has not connected by then does not.
        identify_timeout_seconds: TLS handshake and first answer; longer than a ping, the module may be unsealing its store.
        ping_interval_seconds: a link that received nothing for so long is asked whether it lives.
        ping_timeout_seconds: and is dropped when it does not answer in this time.
        backoff_base_seconds: upper bound of the first wait before reconnecting.
        backoff_max_seconds: upper bound of every wait: a module that comes back is found within this time.
        stable_after_seconds: a link up for so long starts again from the first wait; one that falls earlier goes on doubling.
        close_seconds_max: a peer that does not close its side by then is cut off.
        in_flight_max: requests written and not answered. At 15 000 a second it is reached when the module is 130 ms late; then
            callers are told at once instead of being queued.
        abandoned_max: given-up requests whose answer may still come. A link that owes so many is broken and is dropped.
    """

    connect_timeout_seconds: float = 5.0
    identify_timeout_seconds: float = 5.0
    ping_interval_seconds: float = 5.0
    ping_timeout_seconds: float = 2.0
    backoff_base_seconds: float = 0.1
    backoff_max_seconds: float = 10.0
    stable_after_seconds: float = 10.0
    close_seconds_max: float = 2.0
    in_flight_max: int = 2048
    abandoned_max: int = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """The limits of a pool.

    Attributes:
        timeout_seconds: how long a call may take; a caller who has less time says so and gets less.
        attempt_timeout_seconds: how long one link may take to answer while another one stands ready. With no other link an attempt
            has all the time that is left.
        mint_attempts_max: how often one mint request is put on a link at most; a module that falls over every time it sees a certain
            request must not see it for ever.
        waiting_max: mint requests of unknown outcome that wait for a link to come up. As many as one link can lose at once.
    """

    timeout_seconds: float = 5.0
    attempt_timeout_seconds: float = 1.0
    mint_attempts_max: int = 4
    waiting_max: int = 2048


def backoff_seconds(failures: int, limits: LinkLimits, random: Callable[[], float]) -> float:
    """How long to wait before the next attempt: exponential, with full jitter.

    Every wait is drawn evenly from zero to a bound that doubles with each failure, so that the switches that lost one module at one
    moment do not come back to it at one moment.

    Args:
        failures: failed attempts in a row, from 0.
        limits: ``backoff_base_seconds`` and ``backoff_max_seconds`` are the bounds.
        random: draws evenly from [0, 1).

    >>> backoff_seconds(2, LinkLimits(), lambda: 0.5)
    0.2
    """
    # The exponent is bounded too: 2.0 ** 1100 does not fit.
    bound = min(limits.backoff_max_seconds, limits.backoff_base_seconds * 2.0 ** min(failures, 64))
    return random() * bound
