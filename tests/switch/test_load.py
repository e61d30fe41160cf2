"""The rate of a network: a bucket that fills with time."""

from hypothesis import given
from hypothesis import strategies as st

from config.acquirer import AcquirerSection, MacSection
from switch.load import Load, TokenBucket


def _section(**changes: int | None) -> AcquirerSection:
    return AcquirerSection.model_validate({"id": "x", "listen_port": 0, "mac": MacSection(register_id=1), **changes})


def test_a_burst_goes_through_and_then_the_rate() -> None:
    """Ten at once, then two in a second."""
    bucket = TokenBucket(per_second=2, burst=10, now=0.0)
    assert [bucket.take(0.0) for _ in range(11)] == [True] * 10 + [False]
    assert [bucket.take(1.0) for _ in range(3)] == [True, True, False]
    assert sum(bucket.take(100.0) for _ in range(20)) == 10


@given(moments=st.lists(st.floats(0, 50), min_size=1, max_size=200), rate=st.integers(1, 20), burst=st.integers(1, 20))
def test_never_more_than_burst_and_rate_allow(moments: list[float], rate: int, burst: int) -> None:
    """Whatever the order of arrival, also when the clock is read out of order."""
    bucket = TokenBucket(per_second=rate, burst=burst, now=0.0)
    taken = sum(bucket.take(moment) for moment in sorted(moments))
    assert 1 <= taken <= burst + rate * max(moments) + 1


def test_a_clock_that_is_read_late_takes_nothing_back() -> None:
    """An older time adds nothing."""
    bucket = TokenBucket(per_second=1, burst=2, now=10.0)
    assert bucket.take(10.0)
    assert bucket.take(9.0)
    assert not bucket.take(9.0)


def test_another_rate_counts_from_now_and_forgives_nothing() -> None:
    """A network that used its burst up does not get a new one by a change of its configuration, only the difference."""
    load = Load()
    load.adopt(_section(requests_per_second_max=1, requests_burst_max=3), 0.0)
    assert [load.is_within_rate(0.0) for _ in range(4)] == [True, True, True, False]
    load.adopt(_section(requests_per_second_max=1, requests_burst_max=3), 0.0)
    assert not load.is_within_rate(0.0)
    load.adopt(_section(requests_per_second_max=1, requests_burst_max=4), 0.0)
    assert [load.is_within_rate(0.0) for _ in range(2)] == [True, False]
    load.adopt(_section(), 0.0)
    assert all(load.is_within_rate(0.0) for _ in range(1000))
