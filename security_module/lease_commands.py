"""What a module does when it is asked about leases: a head-end's gives them and stops terminals, a till's accepts and closes them.

All of it runs in the writer's thread, between two transactions of mints, and is on the disk, in one transaction with its record in the
audit, before anything leaves.
"""

import dataclasses
import json

from messages.security_module import (
    AcceptLease,
    AskLease,
    CloseLease,
    Command,
    LeaseAccepted,
    LeaseClosed,
    LeaseGiven,
    LeaseLeft,
    LeaseRequest,
    ReadLease,
    Refused,
    Reply,
    RevokeTerminal,
    Status,
    TerminalRevoked,
)
from security_module import lease_store, mint_store
from security_module.audit_chain import AuditKey, canonical
from security_module.lease import (
    LEASE_CONTEXT,
    STATEMENT_CONTEXT,
    Lease,
    LeaseError,
    Statement,
    prove,
    read_lease,
    read_statement,
)
from security_module.lease_rules import CLOCKS_APART_SECONDS_MAX, Issued, find_acceptance_refusal, judge_request
from security_module.mint_log import MintLog
from security_module.registers import ModuleKeys
from security_module.till_book import TillBook
from security_module.vendors import Till, VendorTerminal

REVOKED = "revoked"
FROZEN = "frozen"

_OF_A_TILL = AcceptLease | CloseLease | ReadLease


class _LeaseRefused(Exception):
    """``status`` is what is answered."""

    def __init__(self, status: Status) -> None:
        super().__init__(status)
        self.status = status


class LeaseCommands:
    """The lease commands of one module; which of them it knows follows from whether it is a till's."""

    def __init__(self, keys: ModuleKeys) -> None:
        """Take what the sealed store says of leases."""
        self._vendors = keys.vendors
        self._till = keys.till
        self._key = AuditKey(keys.module_id, keys.audit_key) if keys.audit_key is not None else None

    def reply(self, log: MintLog, request: LeaseRequest, command: Command) -> Reply:
        """Do what *request* asks by *command*; a refusal is a reply too. Called in the writer's thread."""
        try:
            return self._reply(log, request)
        except _LeaseRefused as refused:
            return Refused(command=command, status=refused.status)

    def _reply(self, log: MintLog, request: LeaseRequest) -> Reply:
        if self._key is None or (self._till is not None) is not isinstance(request, _OF_A_TILL):
            raise _LeaseRefused(Status.WRONG_MODULE)
        match request:
            case AskLease(statement=statement):
                return LeaseGiven(lease=self._give(log, self._key, statement))
            case RevokeTerminal(terminal_id=terminal_id):
                self._revoke(log, terminal_id)
                return TerminalRevoked()
        book = log.till_book
        assert self._till is not None
        assert book is not None, "a till's module keeps the book of its lease"
        match request:
            case AcceptLease(lease=signed):
                _accept(log, book, self._till, signed)
                return LeaseAccepted()
            case CloseLease():
                return LeaseClosed(statement=_close(log, book, self._till, self._key))
            case ReadLease(journal=journal):
                if journal is not None:
                    _compare(log, book, journal)
                return _left(book)

    def _give(self, log: MintLog, key: AuditKey, signed: bytes) -> bytes:
        """Give the lease that the closing statement *signed* asks for; the same one as long as it is good."""
        vendor, statement = self._proved(signed)
        found = lease_store.stops(log.database).get(vendor.terminal_id)
        if found is not None:
            raise _LeaseRefused(Status.TERMINAL_FROZEN if found.kind == FROZEN else Status.TERMINAL_REVOKED)
        now = log.trusted_now()
        if now is None:
            raise _LeaseRefused(Status.CLOCK_IN_DOUBT)
        issued = lease_store.issued_to(log.database, vendor.terminal_id)
        verdict = judge_request(signed, statement, issued, now)
        if isinstance(verdict, Issued):
            return verdict.signed
        told = {"terminal": vendor.terminal_id, "closed": _closing_details(statement)}
        if verdict is Status.TERMINAL_FROZEN:
            rows = lease_store.stop(vendor.terminal_id, FROZEN, now.isoformat())
            log.record_with("terminal_frozen", told, lambda *_: rows)
        if isinstance(verdict, Status):
            raise _LeaseRefused(verdict)
        at = int(now.timestamp())
        lease = Lease(
            terminal_id=vendor.terminal_id,
            epoch=verdict,
            not_before_unix_seconds=at - CLOCKS_APART_SECONDS_MAX,
            not_after_unix_seconds=at + vendor.lease_hours * 3600,
            limits=vendor.limits,
            previous_link=statement.link,
            supply_groups=vendor.supply_groups,
            zone=vendor.zone,
        )
        made = key.sign_octets(LEASE_CONTEXT, lease.octets())
        rows = lease_store.issue(vendor.terminal_id, verdict, made, signed)
        log.record_with("lease_issued", {**_lease_details(lease), **told}, lambda *_: rows)
        return made

    def _proved(self, signed: bytes) -> tuple[VendorTerminal, Statement]:
        try:
            statement = read_statement(signed)
            vendor = self._vendors.get(statement.terminal_id)
            if vendor is not None:
                prove(signed, STATEMENT_CONTEXT, vendor.public_key)
                return vendor, statement
        except LeaseError:
            pass
        raise _LeaseRefused(Status.TERMINAL_UNKNOWN)

    def _revoke(self, log: MintLog, terminal_id: str) -> None:
        """Give a terminal no lease any more; done again it is done still, and recorded once."""
        if terminal_id not in self._vendors and not lease_store.issued_to(log.database, terminal_id):
            raise _LeaseRefused(Status.TERMINAL_UNKNOWN)
        if terminal_id not in lease_store.stops(log.database):
            rows = lease_store.stop(terminal_id, REVOKED, log.now().isoformat())
            log.record_with("terminal_revoked", {"terminal": terminal_id}, lambda *_: rows)


def record_changes(log: MintLog, keys: ModuleKeys) -> None:
    """Record at a start how vendor terminals, and whose till this is, differ from the start before, whoever changed the store."""
    till = {"": dataclasses.asdict(keys.till)} if keys.till is not None else {}
    new = {**{name: each.document() for name, each in keys.vendors.items()}, **till}
    old: dict[str, dict[str, object]] = json.loads(mint_store.read_state(log.database).get("vendors", "{}"))
    written = canonical(new)
    rows: lease_store.Statements = [("INSERT OR REPLACE INTO state VALUES ('vendors', ?)", [(written,)])]
    # As it will be read back: with lists in the place of pairs.
    new = json.loads(written)
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            act = ("terminal" if name else "till") + (
                "_registered" if name not in old else "_removed" if name not in new else "_changed"
            )
            log.record_with(act, {"before": old.get(name), "after": new.get(name)}, lambda *_: ())
    if old != new:
        # Last: after a kill in between all of them are recorded once more, rather than one of them never.
        log.record_with("leases_checked", {"terminals": len(keys.vendors)}, lambda *_: rows)


def _accept(log: MintLog, book: TillBook, till: Till, signed: bytes) -> None:
    """Put a lease in force; the one that is in force already is accepted again, an older one never."""
    if book.lease is not None and signed == book.signed:
        return
    try:
        lease = read_lease(signed)
        prove(signed, LEASE_CONTEXT, till.head_end_key)
    except LeaseError:
        raise _LeaseRefused(Status.LEASE_INVALID) from None
    refusal = find_acceptance_refusal(
        lease, terminal_id=till.terminal_id, epoch_seen=book.epoch_seen, closing=book.statement, now=log.now()
    )
    if refusal is not None:
        raise _LeaseRefused(refusal)
    rows = lease_store.accept(lease.epoch, signed)
    # The head-end's signature says which time it is, within the life of the lease: a clock in doubt may go on from here.
    log.record_with("lease_accepted", _lease_details(lease), lambda *_: rows, is_clock_accepted=True)
    book.load()


def _close(log: MintLog, book: TillBook, till: Till, key: AuditKey) -> bytes:
    """Close the lease in force and sign what was minted under it; asked again, the same octets."""
    if book.closing is not None:
        return book.closing
    use = book.use
    details = {
        "epoch": book.epoch,
        "sales": use.sales,
        "charged_centavos": use.charged_centavos,
        "units_tenths": use.units_tenths,
    }

    def sign(sequence: int, link: bytes) -> lease_store.Statements:
        statement = Statement(
            terminal_id=till.terminal_id,
            epoch=book.epoch,
            sales=use.sales,
            charged_centavos=use.charged_centavos,
            units_tenths=use.units_tenths,
            sequence=sequence,
            link=link,
            closed_unix_seconds=int(log.now().timestamp()),
        )
        return lease_store.close(book.epoch, key.sign_octets(STATEMENT_CONTEXT, statement.octets()))

    log.record_with("lease_closed", details, sign)
    book.load()
    return _closing(book)


def _closing(book: TillBook) -> bytes:
    assert book.closing is not None, "it was committed"
    return book.closing


def _compare(log: MintLog, book: TillBook, journal: tuple[int, int]) -> None:
    """Lock the lease if the till's journal knows of other sales than the module: the store of one of them was set back."""
    ours = (book.epoch, book.use.sales)
    if journal == ours:
        return
    # No further than the lease that the head-end may have given since: a wrong number must not lock the till for ever.
    seen = max(book.epoch_seen, min(journal[0], book.epoch + 1))
    if not book.is_locked or seen > book.epoch_seen:
        rows = lease_store.lock(book.epoch, seen)
        log.record_with("journal_differs", {"journal": journal, "module": ours}, lambda *_: rows)
        book.load()
    raise _LeaseRefused(Status.LEASE_LOCKED)


def _left(book: TillBook) -> LeaseLeft:
    lease, use = book.lease, book.use
    if lease is None:
        return LeaseLeft(
            epoch=book.epoch, is_in_force=False, sales=0, centavos=0, units_tenths=0, not_after_unix_seconds=0
        )
    return LeaseLeft(
        epoch=lease.epoch,
        is_in_force=not book.is_locked,
        sales=lease.limits.sales_max - use.sales,
        centavos=lease.limits.credit_centavos - use.charged_centavos,
        units_tenths=lease.limits.units_tenths - use.units_tenths,
        not_after_unix_seconds=lease.not_after_unix_seconds,
    )


def _lease_details(lease: Lease) -> dict[str, object]:
    return {
        "terminal": lease.terminal_id,
        "epoch": lease.epoch,
        "credit_centavos": lease.limits.credit_centavos,
        "not_after_unix_seconds": lease.not_after_unix_seconds,
    }


def _closing_details(statement: Statement) -> dict[str, object]:
    return {
        "epoch": statement.epoch,
        "sales": statement.sales,
        "charged_centavos": statement.charged_centavos,
        "units_tenths": statement.units_tenths,
        "sequence": statement.sequence,
        "link": statement.link.hex(),
    }
