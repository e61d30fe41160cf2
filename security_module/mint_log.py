"""What was minted: every request id with the digest of its content, a count per register, and a hash chain over all of it.

One SQLite file, one writer. A batch is one transaction, durable (WAL, synchronous=FULL) when `MintLog.decide` returns; only then may
its tokens leave. No token is stored: it is computed again from the same request.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from messages.security_module import MintRequest, RegisterCount, Status
from security_module.registers import VendingRegister
from security_module.rules import find_refusal

SCHEMA_VERSION = 1
LOOKUP_MAX = 500
"""Request ids per SELECT: far below SQLite's limit on bound values, which is 999 in its oldest builds."""
_CHAIN_START = bytes(32)

_SCHEMA = """
CREATE TABLE mint (
    sequence INTEGER PRIMARY KEY,
    request_id INTEGER NOT NULL UNIQUE,
    digest BLOB NOT NULL,
    register_id INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    units_tenths INTEGER NOT NULL,
    status TEXT NOT NULL,
    decided_at TEXT NOT NULL,
    chain BLOB NOT NULL
);
CREATE TABLE counter (
    register_id INTEGER PRIMARY KEY,
    requests INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    units_tenths INTEGER NOT NULL
);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A request, and `Status.OK` or why its tokens cannot be computed at all."""

    request: MintRequest
    refusal: Status = Status.OK


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the log says of one request: ``OK``, or the refusal that is kept under its id for ever, or a conflict."""

    status: Status
    is_repeat: bool


# Sequence, request id (signed), digest, register, tokens, units in tenths, name of the status, time, chain: as it stands in the table.
_Row = tuple[int, int, bytes, int, int, int, str, str, bytes]
_DONE = Decision(status=Status.OK, is_repeat=False)


class MintLogError(Exception):
    """The log cannot be trusted: another version, or its chain or its counters do not agree with its rows."""


def digest_of(request: MintRequest) -> bytes:
    """Return 32 octets that tell the content of a request from any other under the same id."""
    content = (
        f"{request.register_id}|{request.pan}|{request.tariff_index}|{request.encryption_algorithm}|{request.subclass}|"
        + ",".join(f"{tid}:{units}" for tid, units in request.tokens)
    )
    return hashlib.sha256(content.encode("ascii")).digest()


class MintLog:
    """Decides and records mint requests. Used from one thread at a time."""

    def __init__(self, path: Path, registers: Mapping[int, VendingRegister], now: Callable[[], datetime]) -> None:
        """Open or make the log.

        Args:
            path: the SQLite file.
            registers: the vending registers, for their rules.
            now: the module's clock, aware, UTC.

        Raises:
            MintLogError: the file is of another version.
        """
        self._registers = registers
        self._now = now
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            self._prepare()
            self._load()
        except BaseException:
            self._database.close()
            raise

    def _prepare(self) -> None:
        run = self._database.execute
        run("PRAGMA journal_mode=WAL")
        run("PRAGMA synchronous=FULL")
        run("PRAGMA busy_timeout=5000")
        (version,) = run("PRAGMA user_version").fetchone()
        if version == 0:
            self._database.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
        elif version != SCHEMA_VERSION:
            raise MintLogError(f"mint log version {version}, this program writes {SCHEMA_VERSION}")

    def _load(self) -> None:
        """Read what must agree with the last commit: counters, and the end of the chain."""
        counts = self._database.execute("SELECT register_id, requests, tokens, units_tenths FROM counter")
        self._counts = {row[0]: _count(*row) for row in counts}
        last = self._database.execute("SELECT sequence, chain FROM mint ORDER BY sequence DESC LIMIT 1").fetchone()
        self._sequence: int = last[0] if last is not None else 0
        self._chain: bytes = last[1] if last is not None else _CHAIN_START

    def counts(self) -> tuple[RegisterCount, ...]:
        """Return what each vending register has minted, as of the last commit."""
        found = self._counts
        return tuple(found.get(each) or _count(each) for each in sorted(found.keys() | self._registers.keys()))

    def decide(self, candidates: Sequence[Candidate]) -> list[Decision]:
        """Decide a batch in one transaction and make it durable.

        Args:
            candidates: in order of arrival; one id may stand in it more than once.

        Returns:
            One decision per candidate, in the same order. What was decided before stays decided, whatever the rules say now:
            a repeat of a done request is done, one of a refused request is refused.

        Raises:
            sqlite3.Error: nothing is known of the outcome; the caller answers that, and may go on with the next batch.
        """
        known = self._find([candidate.request.request_id for candidate in candidates])
        counts = dict(self._counts)
        sequence, chain = self._sequence, self._chain
        now = self._now()
        decided_at = now.isoformat()
        rows: list[_Row] = []
        decisions: list[Decision] = []
        for candidate in candidates:
            request = candidate.request
            digest = digest_of(request)
            before = known.get(request.request_id)
            if before is not None:
                status = before[1] if before[0] == digest else Status.REQUEST_CONFLICT
                decisions.append(Decision(status=status, is_repeat=True))
                continue
            status = self._judge(candidate, counts, now)
            sequence += 1
            row = _make_row(sequence, request, digest, status, decided_at, chain)
            chain = row[-1]
            rows.append(row)
            known[request.request_id] = (digest, status)
            decisions.append(_DONE if status is Status.OK else Decision(status=status, is_repeat=False))
        if rows:
            self._write(rows, counts)
            self._counts, self._sequence, self._chain = counts, sequence, chain
        return decisions

    def _judge(self, candidate: Candidate, counts: dict[int, RegisterCount], now: datetime) -> Status:
        if candidate.refusal is not Status.OK:
            return candidate.refusal
        request = candidate.request
        register = self._registers.get(request.register_id)
        if register is None:
            return Status.UNKNOWN_REGISTER
        count = counts.get(register.register_id) or _count(register.register_id)
        refusal = find_refusal(register, request, now=now, count=count)
        if refusal is not None:
            return refusal
        counts[register.register_id] = _count(
            register.register_id,
            count.requests + 1,
            count.tokens + len(request.tokens),
            count.units_tenths + sum([units for _, units in request.tokens]),
        )
        return Status.OK

    def _find(self, request_ids: Sequence[int]) -> dict[int, tuple[bytes, Status]]:
        found: dict[int, tuple[bytes, Status]] = {}
        for start in range(0, len(request_ids), LOOKUP_MAX):
            some = [_signed(each) for each in request_ids[start : start + LOOKUP_MAX]]
            marks = ",".join("?" * len(some))
            query = f"SELECT request_id, digest, status FROM mint WHERE request_id IN ({marks})"  # noqa: S608
            for request_id, digest, status in self._database.execute(query, some):
                found[_unsigned(request_id)] = (digest, Status[status])
        return found

    def _write(self, rows: Sequence[_Row], counts: Mapping[int, RegisterCount]) -> None:
        changed = [count for register_id, count in counts.items() if self._counts.get(register_id) != count]
        run = self._database
        run.execute("BEGIN IMMEDIATE")
        try:
            run.executemany("INSERT INTO mint VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            run.executemany(
                "INSERT OR REPLACE INTO counter VALUES (?, ?, ?, ?)",
                [(count.register_id, count.requests, count.tokens, count.units_tenths) for count in changed],
            )
            run.execute("COMMIT")
        except BaseException:
            if run.in_transaction:
                run.execute("ROLLBACK")
            self._load()
            raise

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def _make_row(
    sequence: int, request: MintRequest, digest: bytes, status: Status, decided_at: str, chain: bytes
) -> _Row:
    request_id, register_id, tokens = request.request_id, request.register_id, len(request.tokens)
    units = sum([units for _, units in request.tokens])
    name = status.name
    link = _link(chain, f"{sequence}|{request_id}|{register_id}|{tokens}|{units}|{name}|{decided_at}", digest)
    return sequence, _signed(request_id), digest, register_id, tokens, units, name, decided_at, link


def _link(chain: bytes, fields: str, digest: bytes) -> bytes:
    return hashlib.sha256(chain + fields.encode("ascii") + digest).digest()


def _count(register_id: int, requests: int = 0, tokens: int = 0, units_tenths: int = 0) -> RegisterCount:
    return RegisterCount(register_id=register_id, requests=requests, tokens=tokens, units_tenths=units_tenths)


def _signed(value: int) -> int:
    """SQLite keeps 64 bits with a sign, the protocol 64 without."""
    return value - (1 << 64) if value >> 63 else value


def _unsigned(value: int) -> int:
    return value + (1 << 64) if value < 0 else value


def audit(path: Path) -> tuple[RegisterCount, ...]:
    """Walk the whole log read-only, prove its chain and its counters, and return the counters.

    Raises:
        MintLogError: a row was changed or removed, or the counters do not equal the rows.
    """
    sums: dict[int, list[int]] = {}
    chain = _CHAIN_START
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        database.execute("BEGIN")  # One snapshot, while the module may be running.
        for row in database.execute("SELECT * FROM mint ORDER BY sequence"):
            sequence, request_id, digest, register_id, tokens, units, status, decided_at, link = row
            fields = f"{sequence}|{_unsigned(request_id)}|{register_id}|{tokens}|{units}|{status}|{decided_at}"
            chain = _link(chain, fields, digest)
            if chain != link:
                raise MintLogError(f"the chain of the mint log breaks at row {sequence}")
            if status == Status.OK.name:
                total = sums.setdefault(register_id, [0, 0, 0])
                total[0] += 1
                total[1] += tokens
                total[2] += units
        stored = database.execute("SELECT register_id, requests, tokens, units_tenths FROM counter").fetchall()
    if {row[0]: list(row[1:]) for row in stored} != sums:
        raise MintLogError("the counters of the mint log do not equal its rows")
    return tuple(_count(*row) for row in sorted(stored))
