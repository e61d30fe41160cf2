"""What keeps a process that holds keys from leaving copies of its memory: no core dumps, no debugger of the same user."""

import contextlib
import ctypes
import resource

_SET_DUMPABLE = 4
"""``PR_SET_DUMPABLE`` of ``linux/prctl.h``."""


def harden() -> None:
    """Forbid core dumps and, on Linux, reading this process's memory through ptrace or /proc; call it before a key is read.

    Python cannot wipe a key from memory, and pages may be swapped out: `docs/security-module/custody.md` says what that means.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(AttributeError):  # Another system than Linux has no prctl.
        ctypes.CDLL(None).prctl(_SET_DUMPABLE, 0, 0, 0, 0)
