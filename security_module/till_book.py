"""What a till's module has left of its lease, as of the last commit, and what a transaction is about to take from it."""

import sqlite3
from dataclasses import dataclass
from datetime import date, datetime

from messages.security_module import MintRequest, Status
from security_module import lease_store
from security_module.keyed_hash import KeyedHash
from security_module.lease import Lease, Statement, read_lease, read_statement
from security_module.lease_rules import STEP_SECONDS_MAX, Use, find_mint_refusal
from security_module.lease_store import Statements
from security_module.registers import VendingRegister
from security_module.rules import counted_centavos, units_of

_METER_CONTEXT = b"eudora till meter\x00"
_METER_OCTETS = 16


class TillBook:
    """The lease in force. Used from the writer's thread.

    Attributes:
        epoch: the highest that was accepted; 0: none.
        epoch_seen: that, or a higher one of which the till's journal knew and this store did not.
        lease: the one in force; None: none was accepted, or it is closed.
        signed: the octets of the newest lease, in force or closed; empty: none.
        closing: the signed statement on the newest lease; None: it is open, or nothing was ever asked for.
        use: what was minted under the newest lease.
        is_locked: the clock was set while it was in force.
    """

    def __init__(self, database: sqlite3.Connection, content_key: KeyedHash) -> None:
        """Read the book.

        Args:
            database: of the mint log.
            content_key: makes digests of meter numbers that nobody can search for.
        """
        self._database = database
        self._content_key = content_key
        self.load()

    def load(self) -> None:
        """Read what was committed last."""
        found = lease_store.read_till(self._database)
        self.epoch = found.epoch if found is not None else 0
        self.epoch_seen = max(self.epoch, lease_store.read_epoch_seen(self._database))
        self.signed = found.signed if found is not None else b""
        self.closing = found.closing if found is not None else None
        self.use = found.use if found is not None else Use()
        self.is_locked = found is not None and found.is_locked
        self.lease: Lease | None = read_lease(self.signed) if self.signed and self.closing is None else None

    @property
    def statement(self) -> Statement | None:
        """What was said at the closing of the newest lease."""
        return read_statement(self.closing) if self.closing is not None else None

    def draft(self, step_seconds: float) -> "TillDraft":
        """Begin a transaction; a clock that was set by *step_seconds* may lock the lease in force."""
        is_locked = self.lease is not None and abs(step_seconds) > STEP_SECONDS_MAX
        return TillDraft(book=self, use=self.use.copy(), is_locked=self.is_locked or is_locked)

    def meter(self, request: MintRequest) -> bytes:
        """Return the digest of the meter of *request*."""
        return self._content_key.digest(_METER_CONTEXT + request.pan.encode("ascii"))[:_METER_OCTETS]


@dataclass(slots=True)
class TillDraft:
    """What one transaction takes from the lease of a book."""

    book: TillBook
    use: Use
    is_locked: bool

    def find_refusal(self, register: VendingRegister, request: MintRequest, now: datetime, day: date) -> Status | None:
        """Return why the lease does not allow *request*, or None if it does."""
        return find_mint_refusal(
            self.book.lease,
            register,
            request,
            now=now,
            use=self.use,
            meter_day_centavos=self.use.of_meter(self.book.meter(request), day),
            is_locked=self.is_locked,
        )

    def take(self, register: VendingRegister, request: MintRequest, day: date) -> None:
        """Count *request*."""
        self.use.add(self.book.meter(request), day, counted_centavos(register, request), units_of(request))

    def changes(self) -> Statements:
        """Return what the transaction writes."""
        if self.use == self.book.use and self.is_locked == self.book.is_locked:
            return ()
        return lease_store.use_of(self.book.epoch, self.book.use, self.use, is_locked=self.is_locked)

    def committed(self) -> None:
        """Have the book take it as what is left now."""
        self.book.use, self.book.is_locked = self.use, self.is_locked
