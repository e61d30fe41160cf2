"""Deposits of networks in the books: registered by one person, decided by another; the confirmation posts the entry.

The order of locks: the deposit, the one that it corrects, then as everywhere the accounts ascending, last. Two corrections of one deposit
see each other because both lock it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError

from ledger import arrays, schema
from ledger.database import transact
from ledger.entries import write_entry
from ledger.rules import deposit_lines
from vending.deposit import (
    DepositRefusal,
    DepositRefused,
    DepositState,
    Registration,
    is_decided,
    user_named,
)
from vending.money import Centavos

DEPOSITS_PER_LIST_MAX = 200
"""A list is for a person to read."""

_READ = "SELECT d.*, a.code AS acquirer_code, a.float_account_id FROM deposit AS d JOIN acquirer AS a ON a.id = d.acquirer_id"
_READ_ONE = text(f"{_READ} WHERE d.id = :id")
_LOCK_ONE = text(f"{_READ} WHERE d.id = :id FOR NO KEY UPDATE OF d")
_LIST = text(
    f"{_READ} WHERE d.state = ANY (CAST(:states AS text[])) AND (CAST(:acquirer AS text) IS NULL OR a.code = :acquirer) "
    "ORDER BY d.id DESC LIMIT :most"
)

_ACQUIRER = text("SELECT id FROM acquirer WHERE code = :code")

_LEFT = text("""
    SELECT amount_centavos + coalesce((
        SELECT sum(c.amount_centavos) FROM deposit AS c WHERE c.corrects_deposit_id = d.id AND c.state = 'confirmed'
    ), 0)::bigint AS left_centavos
    FROM deposit AS d WHERE d.id = :id AND d.acquirer_id = :acquirer AND d.state = 'confirmed' AND d.corrects_deposit_id IS NULL
    FOR NO KEY UPDATE OF d
""")

_AVAILABLE = text("""
    SELECT credit_line_centavos - balance_centavos - pending_centavos FROM account WHERE id = :id
""")

_DECIDE = text("""
    UPDATE deposit SET state = :state, decided_by = :user, decided_at = :at, entry_id = :entry_id WHERE id = :id
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deposit:
    """A deposit as it is stored."""

    deposit_id: int
    acquirer_id: str
    state: DepositState
    amount_centavos: Centavos
    bank_reference: str
    corrects_deposit_id: int | None
    evidence: str
    registered_by: str
    registered_at: datetime
    decided_by: str | None
    decided_at: datetime | None
    entry_id: int | None


def register(engine: Engine, registration: Registration, at: datetime) -> Deposit:
    """Write a deposit that nobody has confirmed yet; the float stays as it is.

    Raises:
        DepositRefused: with the reason; nothing was written.
        LedgerUnavailable: nothing was written.
        LedgerOutcomeUnknown: look at the list before registering again; the bank's reference allows it once.
    """

    def work(connection: Connection, _attempt: int) -> Deposit:
        acquirer = connection.execute(_ACQUIRER, {"code": registration.acquirer_id}).scalar_one_or_none()
        if acquirer is None:
            raise DepositRefused(DepositRefusal.NETWORK_UNKNOWN, registration.acquirer_id)
        _check_corrected(connection, registration.corrects_deposit_id, acquirer, registration.amount_centavos)
        written = schema.deposit.insert().values(
            acquirer_id=acquirer,
            amount_centavos=registration.amount_centavos,
            bank_reference=registration.bank_reference,
            corrects_deposit_id=registration.corrects_deposit_id,
            evidence=registration.evidence,
            registered_by=registration.registered_by,
            registered_at=at,
        )
        try:
            deposit_id: int = connection.execute(written.returning(schema.deposit.c.id)).scalar_one()
        except IntegrityError as error:
            # The unique index waits for whoever registers the same reference at this moment.
            raise DepositRefused(DepositRefusal.REFERENCE_USED, registration.bank_reference) from error
        return _read(connection, deposit_id)

    return transact(engine, work)


def confirm(engine: Engine, deposit_id: int, user: str, at: datetime) -> Deposit:
    """Confirm a deposit that somebody else registered: its entry is posted and the float can sell it.

    Confirming again, as the same person, changes nothing; so it may be repeated after an unknown outcome.

    Raises:
        DepositRefused: with the reason; nothing was written.
        LedgerUnavailable: nothing was written.
        LedgerOutcomeUnknown: confirm again.
    """
    decider = user_named(user)

    def work(connection: Connection, _attempt: int) -> Deposit:
        row = _lock(connection, deposit_id)
        if _is_decided(row, decider, DepositState.CONFIRMED):
            return _deposit_of(row)
        _check_corrected(connection, row.corrects_deposit_id, row.acquirer_id, row.amount_centavos)
        entry_id = write_entry(
            connection,
            kind="deposit",
            at=at,
            memo=f"deposit {row.id}: {row.bank_reference}",
            lines=deposit_lines(row.float_account_id, row.amount_centavos),
        )
        # Asked while the account's row is held by the entry, so nobody sells in between.
        available: int = connection.execute(_AVAILABLE, {"id": row.float_account_id}).scalar_one()
        if row.amount_centavos < 0 and available < 0:
            raise DepositRefused(DepositRefusal.FLOAT_SOLD, f"{-available} centavos are missing")
        decision = {"id": row.id, "state": "confirmed", "user": decider, "at": at, "entry_id": entry_id}
        connection.execute(_DECIDE, decision)
        return _read(connection, deposit_id)

    return transact(engine, work)


def reject(engine: Engine, deposit_id: int, user: str, at: datetime) -> Deposit:
    """Reject a deposit that somebody else registered; its bank reference may be registered again.

    Raises:
        DepositRefused: with the reason; nothing was written.
        LedgerUnavailable: nothing was written.
        LedgerOutcomeUnknown: reject again.
    """
    decider = user_named(user)

    def work(connection: Connection, _attempt: int) -> Deposit:
        row = _lock(connection, deposit_id)
        if _is_decided(row, decider, DepositState.REJECTED):
            return _deposit_of(row)
        connection.execute(_DECIDE, {"id": row.id, "state": "rejected", "user": decider, "at": at, "entry_id": None})
        return _read(connection, deposit_id)

    return transact(engine, work)


def find(engine: Engine, state: DepositState | None = None, acquirer_id: str | None = None) -> list[Deposit]:
    """Return deposits in one state or in any, of one network or of all; the newest first, at most `DEPOSITS_PER_LIST_MAX`.

    Raises:
        LedgerUnavailable: the database cannot be reached.
    """
    states = [each.value for each in DepositState] if state is None else [state.value]
    values = {"states": arrays.texts(states), "acquirer": acquirer_id, "most": DEPOSITS_PER_LIST_MAX}
    return transact(engine, lambda connection, _: [_deposit_of(row) for row in connection.execute(_LIST, values)])


def _check_corrected(connection: Connection, corrected_id: int | None, acquirer: int, amount_centavos: int) -> None:
    """Lock the deposit that is corrected, and refuse a correction that it does not allow."""
    if corrected_id is None:
        return
    row = connection.execute(_LEFT, {"id": corrected_id, "acquirer": acquirer}).one_or_none()
    if row is None:
        raise DepositRefused(DepositRefusal.CORRECTED_UNKNOWN, str(corrected_id))
    if row.left_centavos + amount_centavos < 0:
        raise DepositRefused(DepositRefusal.ABOVE_DEPOSIT, f"{row.left_centavos} centavos are left")


def _lock(connection: Connection, deposit_id: int) -> Any:
    row = connection.execute(_LOCK_ONE, {"id": deposit_id}).one_or_none()
    if row is None:
        raise DepositRefused(DepositRefusal.DEPOSIT_UNKNOWN, str(deposit_id))
    return row


def _is_decided(row: Any, user: str, wanted: DepositState) -> bool:
    return is_decided(
        DepositState(row.state), registered_by=row.registered_by, decided_by=row.decided_by, user=user, wanted=wanted
    )


def _read(connection: Connection, deposit_id: int) -> Deposit:
    return _deposit_of(connection.execute(_READ_ONE, {"id": deposit_id}).one())


def _deposit_of(row: Any) -> Deposit:
    return Deposit(
        deposit_id=row.id,
        acquirer_id=row.acquirer_code,
        state=DepositState(row.state),
        amount_centavos=Centavos(row.amount_centavos),
        bank_reference=row.bank_reference,
        corrects_deposit_id=row.corrects_deposit_id,
        evidence=row.evidence,
        registered_by=row.registered_by,
        registered_at=row.registered_at,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        entry_id=row.entry_id,
    )
