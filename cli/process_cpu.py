"""How much processor time other processes have used, as Linux counts it."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stat:
    """What is read of /proc/<pid>/stat. Source: proc_pid_stat(5)."""

    parent_pid: int
    own_ticks: int
    ended_children_ticks: int


def cpu_microseconds(pid: int, *, with_children: bool = False) -> int:
    """Return the user and system time of a process so far, all its threads together.

    Args:
        pid: the process.
        with_children: add its direct children, living and ended; a PostgreSQL server is one child per session.

    Raises:
        ProcessLookupError: there is no such process.
    """
    stat = _read_stat(pid)
    if stat is None:
        raise ProcessLookupError(pid)
    ticks = stat.own_ticks
    if with_children:
        ticks += stat.ended_children_ticks
        others = (_read_stat(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdigit())
        ticks += sum(other.own_ticks for other in others if other is not None and other.parent_pid == pid)
    return ticks * 1_000_000 // os.sysconf("SC_CLK_TCK")


def _read_stat(pid: int) -> _Stat | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the program's name in parentheses and may itself hold spaces and parentheses.
    fields = text.rpartition(")")[2].split()
    parent, user, system, children_user, children_system = (int(fields[at]) for at in (1, 11, 12, 13, 14))
    return _Stat(parent_pid=parent, own_ticks=user + system, ended_children_ticks=children_user + children_system)
