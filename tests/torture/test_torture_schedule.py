"""The schedule of faults: decided by its seed, complete, and one after the other where it must be."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from torture.schedule import DISK_FAULTS, PROCESS_FAULTS, FaultKind, Target, make_schedule, target_of

SEEDS = st.integers(min_value=0, max_value=2**32)


@given(seed=SEEDS)
def test_a_seed_decides_everything(seed: int) -> None:
    """A run that found something can be scheduled again from its seed; another seed breaks other things."""
    kinds = frozenset(FaultKind)
    assert make_schedule(seed, 60, kinds) == make_schedule(seed, 60, frozenset(reversed(list(kinds))))
    assert make_schedule(seed, 60, kinds) != make_schedule(seed + 1, 60, kinds)


@given(seed=SEEDS, seconds=st.floats(min_value=1, max_value=600))
def test_faults_of_one_target_follow_each_other(seed: int, seconds: float) -> None:
    """What is broken is mended before it is broken again, no fault begins after the end, and each is its target's."""
    for target, faults in make_schedule(seed, seconds, frozenset(FaultKind)).items():
        assert all(target_of(fault.kind) is target for fault in faults)
        assert all(0 < fault.at_seconds < seconds for fault in faults)
        assert all(
            one.at_seconds + one.hold_seconds < next_one.at_seconds for one, next_one in itertools.pairwise(faults)
        )


@given(seed=SEEDS)
def test_only_what_is_asked_for_is_broken(seed: int) -> None:
    """Without root no disk is touched; and with one kind only that kind happens."""
    without_disk = make_schedule(seed, 300, PROCESS_FAULTS)
    assert not {fault.kind for faults in without_disk.values() for fault in faults} & DISK_FAULTS
    only = make_schedule(seed, 300, {FaultKind.KILL_SWITCH})
    assert set(only) == {Target.SWITCH}
    assert {fault.kind for fault in only[Target.SWITCH]} == {FaultKind.KILL_SWITCH}


def test_a_long_run_breaks_everything() -> None:
    """Every kind of fault is drawn within ten minutes of one seed, so that no kind exists on paper only."""
    drawn = {fault.kind for faults in make_schedule(1, 600, frozenset(FaultKind)).values() for fault in faults}
    assert drawn == frozenset(FaultKind)
