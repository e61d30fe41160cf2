"""The switch that runs here, one process or several, found by its run file: health pages, and the request to read the configuration again."""

import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from cli.processes import read_run_file

ASK_SECONDS = 5.0
"""For the health page to answer."""

APPLY_SECONDS = 30.0
"""For a changed configuration to be applied: files are read and ports opened, which takes milliseconds."""

_POLL_SECONDS = 0.1


class NotRunning(click.ClickException):
    """There is no switch to ask."""


def running(run_file: Path) -> Mapping[str, Any]:
    """Return what the switch, or the supervisor of its processes, wrote in *run_file*.

    Raises:
        NotRunning: there is none.
    """
    run = read_run_file(run_file)
    if run is None:
        raise NotRunning(f"no switch runs that wrote {run_file}")
    return run


def processes_of(run: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return every process of a switch: ``number`` (None: it is the only one), ``pid``, ``metrics``, ``status``; None while it is started."""
    processes: Sequence[Mapping[str, Any]] = run.get("processes", [{"number": None, "status": None, **run}])
    return processes


def read_health(process: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the health page of one process of `processes_of`.

    Raises:
        NotRunning: it does not answer, or is just being started.
    """
    if process["metrics"] is None:
        raise NotRunning(f"process {process['number']} is being started")
    address = f"http://{process['metrics']}/health"
    try:
        with urllib.request.urlopen(address, timeout=ASK_SECONDS) as answer:
            text = answer.read()
    except urllib.error.HTTPError as error:  # not ready, and says why
        text = error.read()
    except OSError as error:
        raise NotRunning(f"the switch does not answer at {address}: {error}") from error
    page = json.loads(text)
    assert isinstance(page, dict)
    return page


def read_networks(run_file: Path) -> Mapping[str, Mapping[str, Any]]:
    """Return each network as all processes together serve it: counts added, links of all, the latest of moments.

    Raises:
        NotRunning: there is no switch, or a process does not answer.
    """
    networks: dict[str, dict[str, Any]] = {}
    for process in processes_of(running(run_file)):
        for row in read_health(process)["networks"]:
            name = f"{row['id']} leaving" if row["state"] == "leaving" else str(row["id"])
            networks[name] = _together(networks[name], row) if name in networks else dict(row)
    return networks


def _together(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    latest = {
        name: max((each[name] for each in (one, other) if each[name] is not None), default=None)
        for name in ("last_request", "last_approval")
    }
    return {
        **one,
        **latest,
        **{name: one[name] + other[name] for name in ("connections", "in_flight", "links")},
        "is_drained": one["is_drained"] and other["is_drained"],
    }


def apply_configuration(run_file: Path) -> Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Have every process read its configuration again; return each with what became of it (`switch.reconfigure.Outcome.as_json`).

    Raises:
        NotRunning: there is none, or one did not answer in `APPLY_SECONDS`.
    """
    processes = processes_of(running(run_file))
    before = [read_health(process)["configuration"]["attempt"] for process in processes]
    for process in processes:
        os.kill(int(process["pid"]), signal.SIGHUP)
    deadline = time.monotonic() + APPLY_SECONDS
    return [(process, _outcome(process, attempt, deadline)) for process, attempt in zip(processes, before, strict=True)]


def _outcome(process: Mapping[str, Any], attempt: int, deadline: float) -> Mapping[str, Any]:
    while time.monotonic() < deadline:
        outcome = read_health(process)["configuration"]
        if outcome["attempt"] > attempt:
            assert isinstance(outcome, dict)
            return outcome
        time.sleep(_POLL_SECONDS)
    raise NotRunning(
        f"process {process['pid']} did not apply its configuration within {APPLY_SECONDS:.0f} seconds; see its log"
    )
