"""What was minted and what was done with the module: every request id with its verdict, counters, and a signed hash chain over all of it.

One SQLite file, one writer. A batch is one transaction, durable (WAL, synchronous=FULL) when `MintLog.decide` returns; only then may
its tokens leave. No token is stored: it is computed again from the same request.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from messages.security_module import (
    MINTS_PER_REPLY_MAX,
    EngineeringRequest,
    KeyChangeRequest,
    MintRecord,
    MintRequest,
    RegisterCount,
    Status,
    WorkRecord,
)
from security_module import mint_store
from security_module.approvals import approved_by
from security_module.audit_chain import AUDIT_KEY_OCTETS, AuditKey, act_line, canonical, next_link
from security_module.clock import BEHIND_SECONDS_MAX, WatchedClock
from security_module.engineering_records import TokenRequest, content_of_request, line_of_request
from security_module.engineering_rules import find_engineering_refusal, find_key_change_refusal
from security_module.keyed_hash import KeyedHash
from security_module.lease_store import Statements
from security_module.mint_store import Key, MintLogError, Quota, Row
from security_module.registers import Approver, VendingRegister
from security_module.rules import Tally, counted_centavos, find_refusal, units_of
from security_module.till_book import TillBook
from vending.calendar import local_date
from vending.secret import Secret

SEGMENT_RECORDS = 10_000
"""A head is signed at least after so many records: what is beyond the last head is not vouched for yet."""
SILENCE_SECONDS_MAX = 3_600.0
"""A head is signed at least so often, also when nothing happened: it proves that nothing did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A request, and `Status.OK` or why its tokens cannot be computed at all."""

    request: TokenRequest
    refusal: Status = Status.OK


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the log says of one request: ``OK``, or the refusal that is kept under its id for ever, or a conflict."""

    status: Status
    is_repeat: bool


_DONE = Decision(status=Status.OK, is_repeat=False)
_IN_DOUBT = Decision(status=Status.CLOCK_IN_DOUBT, is_repeat=False)
_UNDECIDED = frozenset({Status.APPROVAL_NEEDED, Status.APPROVAL_INVALID})
"""Not kept under the id: the same request may be asked again, with the approvals that it needs."""


class _Draft:
    """What one transaction will add: rows and counters on top of what is committed."""

    def __init__(self, log: "MintLog", now: datetime, step_seconds: float) -> None:
        self.now = now
        self.at = now.isoformat()
        self.day = local_date(now)
        self.sequence, self.link = log.end
        self.rows: list[Row] = []
        self.tallies: dict[Key, Tally] = {}
        self.unapproved = Counter(log.unapproved[1]) if log.unapproved[0] == self.day else Counter[Quota]()
        self.till = log.till_book.draft(step_seconds) if log.till_book is not None else None
        self._committed = log.tallies

    def tally(self, register_id: int, day: date | None) -> Tally:
        """Return the tally of a register in its life (*day* None) or on *day*, as a copy that may be added to."""
        key = (register_id, day)
        found = self.tallies.get(key)
        if found is None:
            old = self._committed.get(key) or Tally()
            found = Tally(old.requests, old.tokens, old.units_tenths, old.charged_centavos)
            self.tallies[key] = found
        return found

    def request(self, request: TokenRequest, status: Status, content: bytes, approvers: Sequence[str]) -> None:
        """Add the record of a request or of its refusal."""
        line = line_of_request(self.sequence + 1, self.at, request, status, content, approvers)
        self._add(line, request.request_id, content, status)

    def take_quota(self, register: VendingRegister, tokens: int, *, is_key_change: bool) -> Status | None:
        """Count what *register* gives without approvals on this day; return why it gives no more, or None."""
        limit = register.key_changes_per_day_max if is_key_change else register.unapproved_per_day_max
        quota = (register.register_id, is_key_change)
        if limit is not None and self.unapproved[quota] + tokens > limit:
            return Status.KEY_CHANGE_LIMIT_EXCEEDED if is_key_change else Status.APPROVAL_NEEDED
        self.unapproved[quota] += tokens
        return None

    def act(self, act: str, **details: Any) -> None:
        """Add the record of an act."""
        self._add(act_line(self.sequence + 1, self.at, act, details), None, None, None)

    def _add(self, line: str, request_id: int | None, content: bytes | None, status: Status | None) -> None:
        self.sequence += 1
        self.link = next_link(self.link, line)
        signed = None if request_id is None else mint_store.signed(request_id)
        self.rows.append((self.sequence, signed, content, status and status.code, line, self.link))


class MintLog:
    """Decides and records mint requests, and records what else is to be audited. Used from one thread at a time.

    Attributes:
        end: sequence and link of the last record.
        tallies: by register, and local day or None for its life, as of the last commit.
        unapproved: a local day, and what was given on it without approvals, of what registers may limit.
        till_book: the lease of a till's module, under which alone it mints; None: it is not a till's.
        revoked: pins of the clients that were ever revoked.
    """

    def __init__(
        self,
        path: Path,
        registers: Mapping[int, VendingRegister],
        now: Callable[[], datetime],
        *,
        audit_key: AuditKey | None = None,
        ticks: Callable[[], float] | None = None,
        approvers: Mapping[str, Approver] | None = None,
        is_of_till: bool = False,
    ) -> None:
        """Open or make the log.

        Args:
            path: the SQLite file.
            registers: the vending registers, for their rules.
            now: the module's clock, aware, UTC.
            audit_key: signs heads; None: the chain has none.
            ticks: see `WatchedClock`; None: *now* is not watched for steps, because it is not a real clock.
            approvers: whose signatures count, by public key.
            is_of_till: nothing is minted but under a lease.

        Raises:
            MintLogError: the file is of another version.
        """
        self._registers = registers
        self._is_of_till = is_of_till
        self._approvers = approvers or {}
        self._audit_key = audit_key
        self._content_key = KeyedHash(
            audit_key.content_key if audit_key is not None else Secret(bytes(AUDIT_KEY_OCTETS))
        )
        # Without ticks the clock is its own measure: then only what is behind the records is in doubt.
        self._clock = WatchedClock(now, ticks or (lambda: now().timestamp()))
        self._database = mint_store.open_store(path)
        try:
            self._load()
        except BaseException:
            self._database.close()
            raise
        self._was_in_doubt = False

    def _load(self) -> None:
        """Read what must agree with the last commit: counters, the end of the chain, the last trusted time."""
        self.tallies = mint_store.read_tallies(self._database)
        self.end = mint_store.read_end(self._database)
        self._days = mint_store.read_days(self._database)
        today = local_date(self._clock.read().now)
        self.unapproved = today, mint_store.read_unapproved(self._database, today)
        self._newest = mint_store.read_newest(self._database)
        self.revoked = mint_store.read_revoked(self._database)
        head = mint_store.read_last_head(self._database)
        self._head_sequence = head.sequence if head is not None else 0
        self._head_at = datetime.fromisoformat(head.signed_at) if head is not None else None
        self.till_book = TillBook(self._database, self._content_key) if self._is_of_till else None

    def counts(self) -> tuple[RegisterCount, ...]:
        """Return what each vending register has minted, as of the last commit."""
        lives = {register_id: tally for (register_id, day), tally in self.tallies.items() if day is None}
        none = Tally()
        return tuple(
            mint_store.count_of(each, lives.get(each, none)) for each in sorted(lives.keys() | self._registers.keys())
        )

    def decide(self, candidates: Sequence[Candidate]) -> list[Decision]:
        """Decide a batch in one transaction and make it durable.

        Args:
            candidates: in order of arrival; one id may stand in it more than once.

        Returns:
            One decision per candidate, in the same order. What was decided before stays decided, whatever the rules say now:
            a repeat of a done request is done, one of a refused request is refused. While the clock is in doubt nothing new is
            decided: `Status.CLOCK_IN_DOUBT`, and no record under the id.

        Raises:
            sqlite3.Error: nothing is known of the outcome; the caller answers that, and may go on with the next batch.
        """
        draft = self._draft()
        is_in_doubt = self._is_in_doubt(draft)
        known = mint_store.find(self._database, [candidate.request.request_id for candidate in candidates])
        decisions: list[Decision] = []
        for candidate in candidates:
            request = candidate.request
            content = content_of_request(request, self._content_key)
            before = known.get(request.request_id)
            if before is not None:
                decisions.append(_repeated(before, content, _charged(request)))
            elif is_in_doubt:
                decisions.append(_IN_DOUBT)
            else:
                status, approvers = self._judge(candidate, draft)
                if status not in _UNDECIDED:
                    draft.request(request, status, content, approvers)
                    known[request.request_id] = (content, status, _charged(request))
                decisions.append(_DONE if status is Status.OK else Decision(status=status, is_repeat=False))
        self._write(draft)
        return decisions

    def _judge(self, candidate: Candidate, draft: _Draft) -> tuple[Status, Sequence[str]]:
        """Return the verdict on a new request, and who approved it."""
        request = candidate.request
        if candidate.refusal is not Status.OK:
            return candidate.refusal, ()
        approvers: Sequence[str] = ()
        if request.approvals:
            approvers = approved_by(request, self._approvers, draft.now)
            if not approvers:
                return Status.APPROVAL_INVALID, ()
        if isinstance(request, MintRequest):
            return self._judge_mint(request, draft, is_approved=bool(approvers)), approvers
        if self.till_book is not None:
            return Status.LEASE_FORBIDS, approvers
        return self._judge_other(request, draft, is_approved=bool(approvers)), approvers

    def _judge_other(
        self, request: EngineeringRequest | KeyChangeRequest, draft: _Draft, *, is_approved: bool
    ) -> Status:
        if isinstance(request, KeyChangeRequest):
            register, old = self._registers.get(request.to_register_id), self._registers.get(request.from_register_id)
            if register is None or old is None:
                return Status.UNKNOWN_REGISTER
            refusal = find_key_change_refusal(old, register, request, draft.now)
        else:
            register = self._registers.get(request.register_id)
            if register is None:
                return Status.UNKNOWN_REGISTER
            refusal = find_engineering_refusal(register, request, draft.now)
        if refusal is None and not is_approved:
            refusal = draft.take_quota(register, 1, is_key_change=isinstance(request, KeyChangeRequest))
        return refusal or Status.OK

    def _judge_mint(self, request: MintRequest, draft: _Draft, *, is_approved: bool) -> Status:
        register = self._registers.get(request.register_id)
        if register is None:
            return Status.UNKNOWN_REGISTER
        life = draft.tally(register.register_id, None)
        day = draft.tally(register.register_id, draft.day)
        refusal = find_refusal(register, request, now=draft.now, life=life, day=day)
        if refusal is None and draft.till is not None:
            refusal = draft.till.find_refusal(register, request, draft.now, draft.day)
        if refusal is None and not request.charged_centavos and not is_approved:
            refusal = draft.take_quota(register, len(request.tokens), is_key_change=False)
        if refusal is not None:
            return refusal
        added = len(request.tokens), units_of(request), counted_centavos(register, request)
        life.add(*added)
        day.add(*added)
        if draft.till is not None:
            draft.till.take(register, request, draft.day)
        return Status.OK

    def _draft(self) -> _Draft:
        reading = self._clock.read()
        draft = _Draft(self, reading.now, reading.step_seconds)
        if reading.step_seconds:
            draft.act("clock_step", seconds=round(reading.step_seconds, 1))
        return draft

    def _is_in_doubt(self, draft: _Draft) -> bool:
        is_in_doubt = self._newest is not None and draft.now < self._newest - timedelta(seconds=BEHIND_SECONDS_MAX)
        if is_in_doubt is not self._was_in_doubt:
            draft.act("clock_in_doubt" if is_in_doubt else "clock_right_again", newest=str(self._newest))
            self._was_in_doubt = is_in_doubt
        return is_in_doubt

    def record(self, act: str, **details: Any) -> None:
        """Record one act, durably: a start, a stop, keys, a refusal because of a role. No secret may stand in *details*."""
        draft = self._draft()
        draft.act(act, **details)
        self._write(draft)

    def record_with(
        self,
        act: str,
        details: Mapping[str, Any],
        also: Callable[[int, bytes], Statements],
        *,
        is_clock_accepted: bool = False,
    ) -> None:
        """Record one act and, in the same transaction, what follows from it.

        Args:
            act: its name.
            details: no secret.
            also: given sequence and link of the act's record, returns the statements.
            is_clock_accepted: the clock is right, although it may be behind the records.
        """
        draft = self._draft()
        draft.act(act, **details)
        state = None
        if is_clock_accepted:
            self._newest, self._was_in_doubt = draft.now, False
            state = {"newest": draft.at}
        self._write(draft, state, also(draft.sequence, draft.link))

    @property
    def database(self) -> sqlite3.Connection:
        """The file, to read what stands in it and is not the log's own."""
        return self._database

    def now(self) -> datetime:
        """Return the module's clock, in doubt or not; that it was set is recorded, whoever looks first."""
        draft = self._draft()
        self._write(draft)
        return draft.now

    def trusted_now(self) -> datetime | None:
        """Return the module's clock, or None while it is in doubt, which is recorded."""
        draft = self._draft()
        is_in_doubt = self._is_in_doubt(draft)
        self._write(draft)
        return None if is_in_doubt else draft.now

    def start(
        self, registers: Sequence[Mapping[str, Any]], clients: Sequence[Mapping[str, str]] = (), **details: Any
    ) -> None:
        """Record that the module was started and how its registers and clients differ from those of its last start.

        Whatever changed the sealed store meanwhile, an added, changed or removed key, a changed limit and a client more or less
        are seen here.

        Args:
            registers: all, without their secrets, each with its ``register_id``; its check value stands in the place of the key.
            clients: who may connect: name, role, pin.
            details: what else is to be recorded.
        """
        draft = self._draft()
        draft.act("start", **details)
        self._is_in_doubt(draft)
        old = mint_store.read_registers(self._database)
        new = {str(each["register_id"]): dict(each) for each in registers}
        for register_id in sorted(old.keys() | new.keys(), key=int):
            before, after = old.get(register_id), new.get(register_id)
            if before is None or after is None:
                draft.act(
                    "key_removed" if after is None else "key_loaded", register=int(register_id), rules=after or before
                )
            elif before != after:
                changed = {name: [before.get(name), after[name]] for name in after if before.get(name) != after[name]}
                act = "key_replaced" if changed.keys() & {"key", "kcv"} else "rules_changed"
                draft.act(act, register=int(register_id), changed=changed)
        _note_clients(draft, mint_store.read_clients(self._database), clients)
        self._write(draft, {"registers": canonical(new), "clients": json.dumps([dict(each) for each in clients])})
        self.sign_head(is_forced=True)

    def revoke(self, clients: Sequence[Mapping[str, str]]) -> None:
        """Record, durably and for ever, that these clients are to be let in no more.

        Args:
            clients: each with its pin (``spki_sha256``) and what else is to be recorded; those that were revoked before are left out.
        """
        draft = self._draft()
        revoked = set(self.revoked)
        for each in clients:
            if each["spki_sha256"] not in revoked:
                draft.act("client_revoked", **each)
                revoked.add(each["spki_sha256"])
        if revoked != self.revoked:
            self._write(draft, {"revoked": json.dumps(sorted(revoked))})
            self.revoked = frozenset(revoked)

    def stop(self) -> None:
        """Record that the module was stopped in order, and sign the end."""
        self.record("stop")
        self.sign_head(is_forced=True)

    def accept_clock(self) -> None:
        """Take the clock as right, although it is behind the records: an operator says so."""
        draft = self._draft()
        draft.act("clock_accepted", newest=str(self._newest))
        self._newest, self._was_in_doubt = draft.now, False
        self._write(draft, {"newest": draft.at})

    def sign_head(self, *, is_forced: bool = False) -> None:
        """Sign the end of the chain if there is something new, or nothing was said for long."""
        if self._audit_key is None:
            return
        now = self.now()
        is_silent = self._head_at is None or abs((now - self._head_at).total_seconds()) >= SILENCE_SECONDS_MAX
        if is_forced or is_silent or self.end[0] > self._head_sequence:
            head = self._audit_key.sign(*self.end, now)
            mint_store.write(self._database, mint_store.Change(heads=(head,)))
            self._head_sequence, self._head_at = head.sequence, now

    def mints_of(self, day: date, after_sequence: int) -> tuple[MintRecord, ...]:
        """Return what was minted on a local day, at most `MINTS_PER_REPLY_MAX` records after *after_sequence*."""
        return mint_store.mints_of(self._database, day, after_sequence, MINTS_PER_REPLY_MAX)

    def work_of(self, day: date, after_sequence: int) -> tuple[WorkRecord, ...]:
        """Return the tokens that are no credit of a local day, at most `MINTS_PER_REPLY_MAX` records after *after_sequence*."""
        return mint_store.work_of(self._database, day, after_sequence, MINTS_PER_REPLY_MAX)

    def verdicts(self, request_ids: Sequence[int]) -> tuple[tuple[int, Status], ...]:
        """Return the status of those of *request_ids* that were decided."""
        found = mint_store.find(self._database, request_ids)
        return tuple((request_id, status) for request_id, (_, status, _) in found.items())

    def _write(self, draft: _Draft, state: Mapping[str, str] | None = None, also: Statements = ()) -> None:
        if not draft.rows:
            return
        if draft.till is not None:
            also = [*draft.till.changes(), *also]
        head = None
        if self._audit_key is not None and draft.sequence // SEGMENT_RECORDS > self.end[0] // SEGMENT_RECORDS:
            head = self._audit_key.sign(draft.sequence, draft.link, draft.now)
        newest = draft.now if self._newest is None else max(self._newest, draft.now)
        state = dict(state or {})
        if newest > draft.now:
            state["newest"] = newest.isoformat()  # Else it stands in the last record.
        # Both tallies of a register change together, by a done request only.
        changed = {key: tally for key, tally in draft.tallies.items() if self.tallies.get(key, Tally()) != tally}
        try:
            mint_store.write(
                self._database,
                mint_store.Change(
                    rows=draft.rows,
                    tallies={(register, day): tally for (register, day), tally in changed.items() if day is not None},
                    last_sequence=draft.sequence,
                    new_day=(draft.day, draft.rows[0][0]) if draft.day not in self._days else None,
                    heads=() if head is None else (head,),
                    state=state,
                    more=also,
                ),
            )
        except BaseException:
            self._load()
            raise
        self._days.add(draft.day)
        self.unapproved = draft.day, draft.unapproved
        self.tallies.update(changed)
        self.end, self._newest = (draft.sequence, draft.link), newest
        if draft.till is not None:
            draft.till.committed()
        if head is not None:
            self._head_sequence, self._head_at = head.sequence, draft.now

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def _note_clients(draft: _Draft, before: Sequence[Mapping[str, str]], now: Sequence[Mapping[str, str]]) -> None:
    """Add the acts by which the clients of a start differ from those of the start before."""
    old, new = {each["spki_sha256"]: each for each in before}, {each["spki_sha256"]: each for each in now}
    for pin in sorted(old.keys() ^ new.keys()):
        draft.act("client_added" if pin in new else "client_removed", **(new.get(pin) or old[pin]))


def _charged(request: TokenRequest) -> int | None:
    return request.charged_centavos if isinstance(request, MintRequest) else None


def _repeated(before: mint_store.Known, content: bytes, charged: int | None) -> Decision:
    """Answer a request whose id was decided: with the same content as then, or not at all."""
    first_content, status, first_charged = before
    is_other = first_content != content or (charged is not None and first_charged not in (None, charged))
    return Decision(status=Status.REQUEST_CONFLICT if is_other else status, is_repeat=True)


__all__ = ["Candidate", "Decision", "MintLog", "MintLogError"]
