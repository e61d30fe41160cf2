"""The audit as a file: proved where it stands, exported, verified off line with the public key alone, moved away.

A file is lines of JSON: first who it is of and where in the chain it begins, then records and heads in order. It ends with a head.

Source: docs/security-module/audit.md.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from messages.security_module import RegisterCount, Status
from security_module import mint_store
from security_module.audit_chain import AuditError, canonical, check_head, next_link, read_head
from security_module.mint_store import MintLogError
from security_module.rules import Tally
from vending.calendar import local_date

LINE_OCTETS_MAX = 1 << 20
"""The longest honest record says all rules of some registers at a start; a file with a longer line is not ours."""
MOVED_AT_ONCE = 5_000
"""Records of one transaction: the module waits for it, some 50 ms."""


def audit(path: Path) -> tuple[RegisterCount, ...]:
    """Walk the whole log read-only, prove its chain, its heads' links and its counters, and return the counters.

    Raises:
        MintLogError: a record was changed or removed, or the counters do not equal the records.
    """
    with closing(mint_store.open_readonly(path)) as database:
        sequence, link = mint_store.read_base(database)
        tallies = _moved_tallies(database)
        query = "SELECT sequence, request_id, content, status, line, link FROM record ORDER BY sequence"
        for number, request_id, content, status, line, stored in database.execute(query):
            link = next_link(link, line)
            fields = json.loads(line)
            sequence += 1
            if number != sequence or fields["n"] != sequence or link != stored:
                raise MintLogError(f"the chain of the mint log breaks at record {sequence}")
            if fields["kind"] != "act":
                told = (fields["id"], fields["content"], Status[fields["status"]].code)
                if request_id is None or told != (mint_store.unsigned(request_id), content.hex(), status):
                    raise MintLogError(f"record {sequence} of the mint log does not say what its line says")
                if status == Status.OK.code and fields["kind"] == mint_store.MINT_KIND:
                    tally = tallies.setdefault(fields["register"], Tally())
                    tally.requests += 1
                    tally.tokens += len(fields["tokens"])
                    tally.units_tenths += sum(units for _, units in fields["tokens"])
        lives = {register: tally for (register, day), tally in mint_store.read_tallies(database).items() if day is None}
    counts = tuple(mint_store.count_of(register, tally) for register, tally in sorted(lives.items()))
    if counts != tuple(mint_store.count_of(register, tally) for register, tally in sorted(tallies.items())):
        raise MintLogError("the counters of the mint log do not equal its records")
    return counts


def _moved_tallies(database: sqlite3.Connection) -> dict[int, Tally]:
    moved: dict[str, list[int]] = json.loads(mint_store.read_state(database).get("moved", "{}"))
    return {int(register): Tally(*values) for register, values in moved.items()}


def export(path: Path, first_day: date | None, last_day: date | None) -> Iterator[str]:
    """Return the lines of an export: whole local days, and on to the first head that vouches for all of them.

    Args:
        path: of the mint log; the module may be running.
        first_day: None: from the oldest record that is here.
        last_day: None: up to the last head.

    Raises:
        AuditError: nothing is there, or no head vouches for it yet.
    """
    with closing(mint_store.open_readonly(path)) as database:
        base, base_link = mint_store.read_base(database)
        after = _sequence_before(database, first_day) if first_day is not None else base
        if after is None or after < base:
            raise AuditError("there is no record of these days here")
        last = _last_sequence_of(database, last_day)
        heads = list(mint_store.read_heads(database, after + 1, mint_store.read_end(database)[0]))
        end = next((head.sequence for head in heads if head.sequence >= last), heads[-1].sequence if heads else 0)
        if end <= after:
            raise AuditError("no head vouches for these records yet; one is signed every minute, and at a stop")
        link = base_link
        if after > base:
            (link,) = database.execute("SELECT link FROM record WHERE sequence = ?", (after,)).fetchone()
        yield canonical(
            {"kind": "export", "version": 1, "module": heads[-1].module_id, "after": after, "link": link.hex()}
        )
        waiting = iter([head for head in heads if head.sequence <= end])
        head = next(waiting, None)
        query = "SELECT sequence, line FROM record WHERE sequence BETWEEN ? AND ? ORDER BY sequence"
        for sequence, line in database.execute(query, (after + 1, end)):
            yield line
            while head is not None and head.sequence == sequence:
                yield head.line()
                head = next(waiting, None)


def _sequence_before(database: sqlite3.Connection, day: date) -> int | None:
    query = "SELECT min(first_sequence) FROM day WHERE local_day >= ?"
    (first,) = database.execute(query, (day.isoformat(),)).fetchone()
    return None if first is None else first - 1


def _last_sequence_of(database: sqlite3.Connection, day: date | None) -> int:
    """Return the last sequence of *day* and the days before; the day after it may have begun before a clock was set back."""
    end = mint_store.read_end(database)[0]
    if day is None:
        return end
    query = "SELECT min(first_sequence) FROM day WHERE local_day > ?"
    (next_first,) = database.execute(query, (day.isoformat(),)).fetchone()
    query = "SELECT max(last_sequence) FROM counter WHERE local_day <= ?"
    (last_counted,) = database.execute(query, (day.isoformat(),)).fetchone()
    return end if next_first is None else max(next_first - 1, last_counted or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a file proves.

    Attributes:
        module_id: whose it is.
        after: sequence before its first record.
        first_link: link before its first record, in hexadecimal.
        last: sequence of its last record.
        last_link: its link, in hexadecimal.
        vouched_until: when the last head was signed: nothing that was recorded before and follows here is missing.
        mints: mint requests that were done, in these records.
        heads: how many.
    """

    module_id: str
    after: int
    first_link: str
    last: int
    last_link: str
    vouched_until: str
    mints: int
    heads: int

    def vouches_for(self, day: date) -> bool:
        """Whether the last head was signed after the end of a local day: then nothing of that day is missing at the end."""
        return local_date(datetime.fromisoformat(self.vouched_until)) > day


class _Verification:
    """Takes the lines of one file after its first."""

    def __init__(self, opening: dict[str, Any], key: Ed25519PublicKey) -> None:
        self._key = key
        self._module_id = str(opening["module"])
        self._sequence = int(opening["after"])
        self._link = bytes.fromhex(opening["link"])
        self._opening = opening
        self._head_sequence = -1
        self._vouched_until = ""
        self._mints = 0
        self._heads = 0

    def take(self, line: str) -> None:
        """Check one record or head against all before it."""
        fields = _parse(line)
        if fields.get("kind") == "head":
            self._take_head(fields)
            return
        number = fields.get("n")
        if number != self._sequence + 1:
            raise AuditError(f"record {number} follows record {self._sequence}: removed, repeated or in another order")
        self._sequence += 1
        self._link = next_link(self._link, line)
        self._mints += fields.get("kind") == "mint" and fields.get("status") == Status.OK.name

    def _take_head(self, fields: dict[str, Any]) -> None:
        head = read_head(fields)
        if head.module_id != self._module_id:
            raise AuditError(f"a head of module {head.module_id} in a file of {self._module_id}")
        check_head(head, self._key)
        if head.sequence != self._sequence:
            raise AuditError(f"the head of record {head.sequence} follows record {self._sequence}")
        if head.link != self._link:
            raise AuditError(f"records up to {head.sequence} are not those that the module signed")
        self._head_sequence, self._vouched_until = head.sequence, head.signed_at
        self._heads += 1

    def end(self) -> Verified:
        """Return what was proved; the last line must have been a head."""
        if self._head_sequence != self._sequence:
            raise AuditError(f"no head follows record {self._sequence}: the end of the file is missing")
        return Verified(
            module_id=self._module_id,
            after=int(self._opening["after"]),
            first_link=str(self._opening["link"]),
            last=self._sequence,
            last_link=self._link.hex(),
            vouched_until=self._vouched_until,
            mints=self._mints,
            heads=self._heads,
        )


def _parse(line: str) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except ValueError as error:
        raise AuditError(f"a line is not JSON: {line[:40]!r}") from error
    if not isinstance(fields, dict):
        raise AuditError("a line is no JSON object")
    return fields


def verify(lines: Iterable[str], key: Ed25519PublicKey) -> Verified:
    """Prove one exported file.

    Args:
        lines: without their line breaks.
        key: the module's public audit key.

    Raises:
        AuditError: a record was changed, removed, repeated or put elsewhere, a signature is wrong, or the end is missing.
    """
    steady = iter(lines)
    opening = _parse(next(steady, ""))
    if opening.get("kind") != "export" or opening.get("version") != 1:
        raise AuditError("the first line does not say what this file is")
    try:
        verification = _Verification(opening, key)
    except (KeyError, TypeError, ValueError) as error:
        raise AuditError("the first line cannot be read") from error
    for line in steady:
        verification.take(line)
    return verification.end()


def verify_following(files: Sequence[Verified]) -> None:
    """Raise `AuditError` if the files, in their order, are not one chain without a gap."""
    for before, after in pairwise(files):
        if (before.module_id, before.last, before.last_link) != (after.module_id, after.after, after.first_link):
            raise AuditError(f"the file that begins after record {after.after} does not follow record {before.last}")


def move_away(path: Path, exported: Verified) -> int:
    """Take the records of a verified export out of the log; ids and counters stay, and the chain goes on.

    The module may be running. The export must begin where the log begins.

    Returns:
        How many records were taken out.

    Raises:
        AuditError: the file does not begin where the log does, or is not of this log.
    """
    moved = 0
    with closing(mint_store.open_store(path)) as database:
        row = database.execute("SELECT link FROM record WHERE sequence = ?", (exported.last,)).fetchone()
        if row is None or row[0].hex() != exported.last_link:
            raise AuditError(f"this log has no such record {exported.last}")
        if mint_store.read_base(database) != (exported.after, bytes.fromhex(exported.first_link)):
            raise AuditError("the export does not begin where the log begins: older records would be lost")
        while (base := mint_store.read_base(database)[0]) < exported.last:
            end = min(exported.last, base + MOVED_AT_ONCE)
            _move(database, base, end)
            moved += end - base
    return moved


def _move(database: sqlite3.Connection, base: int, end: int) -> None:
    database.execute("BEGIN IMMEDIATE")
    try:
        tallies = _moved_tallies(database)
        query = f"SELECT line FROM record WHERE sequence <= ? AND status = ? AND {mint_store.IS_MINT}"  # noqa: S608
        for (line,) in database.execute(query, (end, Status.OK.code)):
            fields = json.loads(line)
            tally = tallies.setdefault(fields["register"], Tally())
            tally.add(len(fields["tokens"]), sum(units for _, units in fields["tokens"]), 0)
        (link,) = database.execute("SELECT link FROM record WHERE sequence = ?", (end,)).fetchone()
        newest = mint_store.read_newest(database)
        state = {"newest": newest.isoformat()} if newest and mint_store.read_end(database)[0] == end else {}
        values = {str(register): [t.requests, t.tokens, t.units_tenths, 0] for register, t in tallies.items()}
        database.execute(
            "INSERT INTO known SELECT request_id, content, status FROM record"
            " WHERE sequence <= ? AND request_id IS NOT NULL",
            (end,),
        )
        database.execute("DELETE FROM record WHERE sequence <= ?", (end,))
        database.executemany(
            "INSERT OR REPLACE INTO state VALUES (?, ?)",
            [("base_sequence", str(end)), ("base_link", link.hex()), ("moved", canonical(values)), *state.items()],
        )
        database.execute("COMMIT")
    except BaseException:
        database.execute("ROLLBACK")
        raise
    assert mint_store.read_base(database)[0] == end > base
