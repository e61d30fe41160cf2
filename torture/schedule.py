"""What is broken when. Pure: the same seed, length and kinds give the same schedule."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from random import Random


class Target(Enum):
    """What a fault happens to. Faults of one target come one after the other, those of different targets overlap as they fall."""

    SWITCH = "switch"
    MODULE = "security module"
    DATABASE = "database"
    LINKS = "links"


class FaultKind(Enum):
    """One way to break something; the value is how the report names it."""

    KILL_SWITCH = "switch killed"
    FREEZE_SWITCH = "switch stopped and continued"
    KILL_WORKER = "ledger worker killed"
    FREEZE_WORKER = "ledger worker stopped and continued"
    OUTLIVE_SWITCH = "ledger worker that outlives its killed switch"
    KILL_MODULE = "security module killed"
    FREEZE_MODULE = "security module stopped and continued"
    KILL_POSTGRES = "PostgreSQL killed"
    KILL_BACKEND = "PostgreSQL backend killed"
    FREEZE_POSTGRES = "PostgreSQL stopped and continued"
    FREEZE_BACKEND = "PostgreSQL backend stopped and continued"
    FILL_DISK = "disk filled"
    FREEZE_DISK = "disk frozen"
    CUT_LINKS = "links cut"
    CUT_ALL_LINKS = "all links cut"


DISK_FAULTS = frozenset({FaultKind.FILL_DISK, FaultKind.FREEZE_DISK})
"""These need a file system of their own, and root."""

PROCESS_FAULTS = frozenset(FaultKind) - DISK_FAULTS


@dataclass(frozen=True, slots=True)
class _Shape:
    """How often a kind is drawn among those of its target, and for how long it lasts."""

    target: Target
    weight: int
    shortest_seconds: float
    longest_seconds: float


_SHAPES: Mapping[FaultKind, _Shape] = {
    FaultKind.KILL_SWITCH: _Shape(Target.SWITCH, 4, 0.0, 1.0),
    FaultKind.FREEZE_SWITCH: _Shape(Target.SWITCH, 3, 0.1, 5.0),
    FaultKind.KILL_WORKER: _Shape(Target.SWITCH, 5, 0.0, 0.2),
    FaultKind.FREEZE_WORKER: _Shape(Target.SWITCH, 3, 0.1, 5.0),
    FaultKind.OUTLIVE_SWITCH: _Shape(Target.SWITCH, 2, 0.1, 4.0),
    FaultKind.KILL_MODULE: _Shape(Target.MODULE, 3, 0.0, 1.5),
    FaultKind.FREEZE_MODULE: _Shape(Target.MODULE, 3, 0.1, 5.0),
    FaultKind.KILL_POSTGRES: _Shape(Target.DATABASE, 4, 0.0, 2.0),
    FaultKind.KILL_BACKEND: _Shape(Target.DATABASE, 3, 0.0, 0.2),
    FaultKind.FREEZE_POSTGRES: _Shape(Target.DATABASE, 2, 0.1, 4.0),
    FaultKind.FREEZE_BACKEND: _Shape(Target.DATABASE, 2, 0.1, 4.0),
    FaultKind.FILL_DISK: _Shape(Target.DATABASE, 3, 1.0, 6.0),
    FaultKind.FREEZE_DISK: _Shape(Target.DATABASE, 3, 0.1, 4.0),
    FaultKind.CUT_LINKS: _Shape(Target.LINKS, 5, 0.0, 0.1),
    FaultKind.CUT_ALL_LINKS: _Shape(Target.LINKS, 1, 0.0, 0.1),
}

_GAP_SECONDS = {
    # From the end of one fault to the next: long enough that sales get through in between.
    Target.SWITCH: (2.0, 6.0),
    Target.MODULE: (3.0, 9.0),
    Target.DATABASE: (2.0, 7.0),
    Target.LINKS: (0.3, 2.5),
}

_FIRST_SECONDS = (0.5, 2.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is broken.

    Attributes:
        kind: what.
        at_seconds: when, from the start. A fault that its forerunner delayed happens as soon as that one is over.
        hold_seconds: until it is mended again.
        pick: which of several (workers, backends, links), taken modulo how many there are then.
    """

    kind: FaultKind
    at_seconds: float
    hold_seconds: float
    pick: int


def target_of(kind: FaultKind) -> Target:
    """Return what that kind happens to."""
    return _SHAPES[kind].target


def make_schedule(seed: int, seconds: float, kinds: Collection[FaultKind]) -> Mapping[Target, tuple[Fault, ...]]:
    """Draw the faults.

    Args:
        seed: of everything drawn.
        seconds: no fault begins later.
        kinds: which may be drawn.

    Returns:
        For each target that has a kind among *kinds* its faults in order of time.
    """
    schedule = {}
    for target in Target:
        # In the order of the enumeration: a set's own order differs from run to run.
        possible = [kind for kind in FaultKind if kind in kinds and target_of(kind) is target]
        if possible:
            schedule[target] = _draw(Random(f"{seed} {target.value}"), seconds, possible, _GAP_SECONDS[target])  # noqa: S311
    return schedule


def _draw(random: Random, seconds: float, kinds: list[FaultKind], gap: tuple[float, float]) -> tuple[Fault, ...]:
    weights = [_SHAPES[kind].weight for kind in kinds]
    faults = []
    at = random.uniform(*_FIRST_SECONDS)
    while at < seconds:
        (kind,) = random.choices(kinds, weights)
        shape = _SHAPES[kind]
        hold = random.uniform(shape.shortest_seconds, shape.longest_seconds)
        faults.append(Fault(kind=kind, at_seconds=at, hold_seconds=hold, pick=random.randrange(1 << 16)))
        at += hold + random.uniform(*gap)
    return tuple(faults)
