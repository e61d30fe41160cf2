"""A ledger worker: a process of its own that runs one step of the sale, batch after batch, on its own database connection.

It is a process and not a thread because pricing and writing a batch is as much Python as everything else that happens to a sale, and two
threads of one interpreter only take turns, at every system call. It lives as long as the socket to its switch: when that closes it
ends after its present batch, so a killed switch leaves nobody behind.
"""

import contextlib
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from sqlalchemy import Engine

from ledger.advice import confirm
from ledger.database import open_engine
from ledger.day_close import close_days, cut_over
from ledger.errors import LedgerOutcomeUnknown, LedgerUnavailable
from ledger.inquire import inquire
from ledger.last_answer import find_last_answers
from ledger.network_look import look_at_networks
from ledger.notice_lanes import run_notice_items
from ledger.post import post
from ledger.reserve import Reserver
from ledger.resolve import look
from ledger.reversal import find_originals
from ledger.schema_version import require_schema
from ledger.session_keys import run_key_items
from ledger.tariffs import load_tariffs
from ledger.totals import compare_totals
from ledger.undelivered import write_undelivered
from switch.worker_codec import DONE, FAULT, UNAVAILABLE, UNKNOWN, Outcome, dump, load
from vending.policy import SalePolicy
from vending.settlement import CloseDays, CutOverOrder
from vending.tariff import TariffBook

TARIFF_RELOAD_SECONDS = 30.0
"""A tariff is published before the day it applies from, so half a minute is soon enough."""

LENGTH = struct.Struct("!I")

RECEIVE_OCTETS = 1 << 20

Run = Callable[[Sequence[Any]], Sequence[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """The first message to a worker."""

    dsn: str
    policy: SalePolicy


IGNORED_SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""They are for the switch, which closes the link when it has drained."""
READY = "ready"
"""The step of every worker that only opens the database and reads the tariffs, so that no sale waits for it."""


class Tariffs:
    """The published tariffs, read again when they are old; when the database is away the present ones stay."""

    def __init__(self, engine: Engine, monotonic: Callable[[], float]) -> None:
        self._engine = engine
        self._monotonic = monotonic
        self._book: TariffBook | None = None
        self._read_at = 0.0

    def book(self) -> TariffBook:
        """Return them.

        Raises:
            LedgerUnavailable: they were never read and cannot be now.
        """
        now = self._monotonic()
        if self._book is None:
            self._book = load_tariffs(self._engine)
            self._read_at = now
        elif now - self._read_at > TARIFF_RELOAD_SECONDS:
            self._read_at = now
            with contextlib.suppress(LedgerUnavailable, LedgerOutcomeUnknown):
                self._book = load_tariffs(self._engine)
        return self._book


def steps(settings: WorkerSettings, monotonic: Callable[[], float]) -> Mapping[str, Run]:
    """Return the steps by name; each takes a batch and returns a result for each of its items."""
    engine = open_engine(settings.dsn, pool_size=1)
    tariffs = Tariffs(engine, monotonic)

    def reserve(orders: Sequence[Any]) -> Sequence[Any]:
        return Reserver(engine, tariffs.book(), settings.policy).reserve(orders)

    def inquire_all(inquiries: Sequence[Any]) -> Sequence[Any]:
        return inquire(engine, tariffs.book(), settings.policy, inquiries)

    def get_ready(_items: Sequence[Any]) -> Sequence[Any]:
        tariffs.book()
        return []

    by_name: dict[str, Run] = {
        READY: get_ready,
        "reserve": reserve,
        "post": partial(post, engine),
        "inquire": inquire_all,
        "find_original": partial(find_originals, engine),
        "advise": partial(confirm, engine),
        "last_answer": partial(find_last_answers, engine),
        "find_unresolved": partial(look, engine),
        "settle": partial(settle, engine),
        "watch": lambda looks: [look_at_networks(engine, look) for look in looks],
        "undelivered": partial(write_undelivered, engine),
        "session_keys": partial(run_key_items, engine),
        "notices": partial(run_notice_items, engine),
    }
    # What it raises is not kept: the next batch looks again.
    require = cache(partial(require_schema, engine))
    return {name: with_known_schema(require, run) for name, run in by_name.items()}


def settle(engine: Engine, items: Sequence[Any]) -> Sequence[Any]:
    """Do what belongs to settlement days, one item after the other: each may be asked for again without harm."""
    results: list[Any] = []
    for item in items:
        match item:
            case CutOverOrder():
                results.append(cut_over(engine, item))
            case CloseDays():
                results.append(close_days(engine, item))
            case _:
                results += compare_totals(engine, [item])
    return results


def with_known_schema(require: Callable[[], None], run: Run) -> Run:
    """Return *run*, made to look before its first batch whether this program knows the database's schema.

    A database that a newer program has migrated is not touched: every item is a fault until somebody has looked at it.
    """

    def checked(items: Sequence[Any]) -> Sequence[Any]:
        require()
        return run(items)

    return checked


def run_batch(run: Run, items: Sequence[Any]) -> list[Outcome]:
    """Run one batch; when it fails for a reason of its own, run each item alone so that one bad item harms only itself."""
    try:
        return [(DONE, result) for result in run(items)]
    except LedgerUnavailable as error:
        return [(UNAVAILABLE, str(error))] * len(items)
    except LedgerOutcomeUnknown as error:
        return [(UNKNOWN, str(error))] * len(items)
    except Exception:  # noqa: BLE001 - whatever it is belongs to whoever asked, never to this process
        if len(items) == 1:
            return [(FAULT, traceback.format_exc())]
        # Any other exception was raised before COMMIT, so nothing of the batch is durable.
        return [outcome for item in items for outcome in run_batch(run, [item])]


def serve(link: socket.socket, monotonic: Callable[[], float]) -> None:
    """Answer batches until the switch closes the link."""
    frames = _Frames(link)
    first = frames.read()
    if first is None:
        return
    by_name = steps(load(first), monotonic)
    while (frame := frames.read()) is not None:
        name, items = load(frame)
        answer = dump(run_batch(by_name[name], items))
        try:
            link.sendall(LENGTH.pack(len(answer)) + answer)
        except OSError:
            return


class _Frames:
    """Reads length-prefixed frames from a blocking socket."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._held = bytearray()

    def read(self) -> bytes | None:
        """Return the next frame, None when the other end is gone."""
        head = self._take(LENGTH.size)
        return None if head is None else self._take(LENGTH.unpack(head)[0])

    def _take(self, octets: int) -> bytes | None:
        while len(self._held) < octets:
            try:
                data = self._link.recv(RECEIVE_OCTETS)
            except OSError:
                return None
            if not data:
                return None
            self._held += data
        taken = bytes(self._held[:octets])
        del self._held[:octets]
        return taken


def main() -> None:
    """Run a worker on the socket whose file descriptor is the only argument."""
    for number in IGNORED_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as link:
        serve(link, time.monotonic)


if __name__ == "__main__":
    main()
