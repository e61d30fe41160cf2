"""Where the tests put databases that nobody needs again: in memory, where the machine has room for them there."""

import os
import shutil

MEMORY = "/dev/shm"
FREE_OCTETS_MIN = 1024**3
"""The databases of one run need a few hundred megabytes; a container may have 64 megabytes here in all."""


def quick_directory() -> str | None:
    """Return a directory in memory, None (the system's own for temporary files) where there is none with room.

    A database for each test is some 400 files, and making those takes ten times as long on some disks.
    """
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= FREE_OCTETS_MIN:
        return MEMORY
    return None
