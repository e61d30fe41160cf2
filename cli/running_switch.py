"""The switch that runs here, found by its run file: its health page, and the request to read its configuration again."""

import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
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


def read_health(run_file: Path) -> Mapping[str, Any]:
    """Return the health page of the switch that wrote *run_file*.

    Raises:
        NotRunning: there is none, or it does not answer.
    """
    run = read_run_file(run_file)
    if run is None:
        raise NotRunning(f"no switch runs that wrote {run_file}")
    address = f"http://{run['metrics']}/health"
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


def apply_configuration(run_file: Path) -> Mapping[str, Any]:
    """Have the switch read its configuration again and return what became of it (`switch.reconfigure.Outcome.as_json`).

    Raises:
        NotRunning: there is none, or it did not answer in `APPLY_SECONDS`.
    """
    before = read_health(run_file)["configuration"]["attempt"]
    run = read_run_file(run_file)
    if run is None:
        raise NotRunning("the switch ended")
    os.kill(int(run["pid"]), signal.SIGHUP)
    deadline = time.monotonic() + APPLY_SECONDS
    while time.monotonic() < deadline:
        outcome = read_health(run_file)["configuration"]
        if outcome["attempt"] > before:
            assert isinstance(outcome, dict)
            return outcome
        time.sleep(_POLL_SECONDS)
    raise NotRunning(f"the switch did not apply its configuration within {APPLY_SECONDS:.0f} seconds; see its log")
