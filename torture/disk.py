"""A small file system in a file, for faults that must not reach any other: it can be filled, emptied, frozen and thawed."""

import contextlib
import os
import shutil
import subprocess
import time
from pathlib import Path

OCTETS = 2 * 1024**3
"""Sparse: what is not written takes no room."""

UNMOUNT_ATTEMPTS_MAX = 20

_PROGRAMS = ("mkfs.ext4", "mount", "umount", "fsfreeze")
_BALLAST = "ballast"
_BALLAST_STEP_OCTETS = 1 << 20


class DiskError(Exception):
    """A program failed; the text is what it said."""


def why_impossible(directory: Path) -> str | None:
    """Return why no such disk can be made here, None if one can.

    Args:
        directory: where it is tried; what is made there is removed again.
    """
    if os.geteuid() != 0:
        return "not root"
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"no {', '.join(missing)}"
    trial = SmallDisk(directory, octets=16 * 1024**2)
    try:
        trial.make()
    except DiskError as error:
        return str(error)
    finally:
        trial.remove()
    return None


class SmallDisk:
    """An ext4 file system in ``<directory>/disk.img``, mounted at ``<directory>/disk``."""

    def __init__(self, directory: Path, *, octets: int = OCTETS) -> None:
        self.mount_point = directory / "disk"
        self._image = directory / "disk.img"
        self._octets = octets
        self._is_mounted = False
        self._is_frozen = False

    def make(self) -> None:
        """Make and mount it.

        Raises:
            DiskError: no loop device, no ext4, or not allowed.
        """
        self.mount_point.mkdir(parents=True)
        with self._image.open("wb") as image:
            image.truncate(self._octets)
        # No blocks kept back for root: when it is full, it is full for everybody.
        _run("mkfs.ext4", "-q", "-m", "0", str(self._image))
        _run("mount", "-o", "loop", str(self._image), str(self.mount_point))
        self._is_mounted = True

    def fill(self) -> None:
        """Take all the room that is left."""
        descriptor = os.open(self.mount_point / _BALLAST, os.O_CREAT | os.O_WRONLY, 0o600)
        try:
            size = 0
            step = 256 * _BALLAST_STEP_OCTETS
            while step >= 4096:
                try:
                    os.posix_fallocate(descriptor, size, step)
                    size += step
                except OSError:
                    step //= 2
        finally:
            os.close(descriptor)

    def empty(self) -> None:
        """Give the room back."""
        (self.mount_point / _BALLAST).unlink(missing_ok=True)

    def freeze(self) -> None:
        """Let every write and every fsync wait."""
        _run("fsfreeze", "-f", str(self.mount_point))
        self._is_frozen = True

    def thaw(self) -> None:
        """Let them go on."""
        if self._is_frozen:
            _run("fsfreeze", "-u", str(self.mount_point))
            self._is_frozen = False

    def remove(self) -> None:
        """Unmount it and remove its file; whoever had files open there must have ended."""
        if self._is_mounted:
            with contextlib.suppress(DiskError):
                self.thaw()
            self._unmount()
            self._is_mounted = False
        self._image.unlink(missing_ok=True)
        if self.mount_point.exists():
            self.mount_point.rmdir()

    def _unmount(self) -> None:
        for _ in range(UNMOUNT_ATTEMPTS_MAX):
            try:
                _run("umount", str(self.mount_point))
            except DiskError:
                time.sleep(0.25)
            else:
                return
        # Whoever still sits on it keeps it alive until he ends; nobody else sees it any more.
        _run("umount", "-l", str(self.mount_point))


def _run(*command: str) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise DiskError(f"{command[0]}: {(done.stderr or done.stdout).strip()}")
