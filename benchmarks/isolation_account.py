"""Whose the processor was in a time: without this nobody can tell what an attack did from what the machine did.

Source: proc_stat(5), sched(7) for "autogroups".
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.process_cpu import cpu_microseconds

_IDLE_FIELDS = (3, 4)
"""Of the first line of /proc/stat: idle, and idle while the disk works."""

_ACCOUNTED_FIELDS = 8
"""What follows is counted a second time in the first two."""

_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Counters at one moment; only the difference of two means anything.

    Attributes:
        at_seconds: on the monotonic clock.
        used_seconds: of processor time, by name.
        busy_seconds: of all processors, whoever used them.
        waited_seconds: in which a reactor's thread was to run and no processor was free for it.
    """

    at_seconds: float
    used_seconds: Mapping[str, float]
    busy_seconds: float
    waited_seconds: float

    def shares_since(self, before: "Reading") -> dict[str, float]:
        """Return what each used since *before*, in processors; ``others`` is the machine's rest, ``waited`` a share of the time.

        >>> first = Reading(at_seconds=0.0, used_seconds={"switch": 1.0}, busy_seconds=3.0, waited_seconds=0.0)
        >>> then = Reading(at_seconds=2.0, used_seconds={"switch": 2.0}, busy_seconds=6.0, waited_seconds=0.5)
        >>> then.shares_since(first)
        {'switch': 0.5, 'others': 1.0, 'waited': 0.25}
        """
        seconds = self.at_seconds - before.at_seconds
        used = {name: each - before.used_seconds.get(name, 0.0) for name, each in self.used_seconds.items()}
        others = self.busy_seconds - before.busy_seconds - sum(used.values())
        waited = self.waited_seconds - before.waited_seconds
        amounts = {**used, "others": max(0.0, others), "waited": waited}
        return {name: round(amount / seconds, 2) for name, amount in amounts.items()}


def read(now_seconds: float, pids: Mapping[str, int], reactors: Sequence[str]) -> Reading:
    """Read the counters.

    Args:
        now_seconds: on the monotonic clock.
        pids: processes by name, each with its children.
        reactors: names of the switch's processes, whose children count as ``workers`` and whose waiting for a processor counts.
    """
    ticks = os.sysconf("SC_CLK_TCK")
    fields = [int(each) for each in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    busy = sum(each for at, each in enumerate(fields[:_ACCOUNTED_FIELDS]) if at not in _IDLE_FIELDS) / ticks
    used = {name: cpu_microseconds(pid, with_children=name not in reactors) / 1e6 for name, pid in pids.items()}
    used["workers"] = 0.0
    for name in reactors:
        used["workers"] += cpu_microseconds(pids[name], with_children=True) / 1e6 - used[name]
    return Reading(
        at_seconds=now_seconds,
        used_seconds=used,
        busy_seconds=busy,
        waited_seconds=sum(_waited_seconds(pids[name]) for name in reactors),
    )


def _waited_seconds(pid: int) -> float:
    """Return how long a process's first thread has waited for a processor. Source: the kernel's sched-stats.rst, /proc/<pid>/schedstat."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / _NANOSECONDS


def give_way() -> None:
    """Take only the processor time that nobody else wants.

    Where the kernel makes a group of every session ("autogroup", as most do), a nice value counts within the session alone, so the group
    needs one as well. The caller must be the first of its session.
    """
    os.nice(19)
    group = Path("/proc/self/autogroup")
    if group.exists():
        group.write_text("19")
