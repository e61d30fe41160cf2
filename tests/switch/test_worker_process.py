"""How a ledger worker comes to life; in a process of its own, because it is about which threads that process has."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROGRAM = """
import json, os, socket, sys, threading, time
from switch.worker_process import start_worker

if sys.argv[1] == "threaded":
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
secret_end, held = socket.socketpair()
ours, theirs = socket.socketpair()
child = start_worker(theirs)
theirs.close()
held.close()
pids = [int(p) for p in os.listdir("/proc") if p.isdigit()]
mine = []
for pid in pids:
    try:
        if int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1]) == os.getpid():
            mine.append(open(f"/proc/{pid}/cmdline").read())
    except OSError:
        pass
# Its copy of the other pair is closed: the end is seen as soon as ours is.
secret_end.settimeout(20)
saw_end = secret_end.recv(1) == b""
ours.close()
until = time.monotonic() + 30
while (status := child.poll()) is None and time.monotonic() < until:
    time.sleep(0.02)
print(json.dumps({"children": mine, "status": status, "saw_end": saw_end, "was_here": "yes"}))
"""


@pytest.mark.parametrize(("threads", "is_program"), [("single", False), ("threaded", True)])
def test_a_worker_is_forked_only_out_of_a_single_thread(threads: str, *, is_program: bool) -> None:
    """A copy while there is one thread, a fresh program afterwards; it holds nothing of ours open and ends with the link."""
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, threads], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")
    (line,) = run.stdout.splitlines()
    told = json.loads(line)
    assert told["status"] == 0, "poll takes note of the end"
    assert told["saw_end"]
    (child,) = told["children"]
    assert ("switch.ledger_worker" in child.split("\0")) is is_program
