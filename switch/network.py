"""One network put together: its dialect, its MACs and its use cases over what all networks share.

The process, the simulation and the benchmarks call this, so that all of them run the same thing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from acquirers.balance import TellBalance, with_balance, without_balance
from acquirers.dialect import Dialect
from acquirers.mac_place import mac_in_128
from acquirers.registry import DIALECTS, SPELLINGS
from acquirers.respelled import respelled, spelling_faults
from acquirers.widened import widened
from acquirers.worded import worded
from config.acquirer import AcquirerSection
from config.errors import Complaint
from switch.advice import Advice
from switch.exchange import Exchange
from switch.first_copies import FirstCopies
from switch.in_flight import InFlight
from switch.last_answer import LastAnswer
from switch.load import Load
from switch.meter_queue import MeterQueue
from switch.metrics import Metrics
from switch.recharge import Recharge
from switch.reversal import Reversal, parking_limits
from switch.seal import Seal
from switch.session_key_change import SessionKeyChange
from switch.session_keys import KeyRules, KeyStep, SessionKeys
from switch.steps import Books
from switch.totals import SettleStep, Totals
from switch.verification_turns import InTurn, VerificationTurns
from vending.money import Centavos
from vending.notice import LateAnswer
from vending.order import OrderKind, RequestKey
from vending.permission import Permission
from vending.ports import MacKey, SecurityModule
from vending.response_code import ResponseCode
from vending.service import Service
from vending.session_key import SessionKeyModule


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyServices:
    """Where session keys are kept and made."""

    step: KeyStep
    module: SessionKeyModule


class Teller(Protocol):
    """Who keeps the lanes of notices; `switch.notice_lanes.NoticeLanes` is one."""

    def tell_outcome(self, key: RequestKey) -> None:
        """Have a network told what became of a sale whose caller has got 09 meanwhile."""

    def take_late(self, answer: LateAnswer) -> None:
        """Have an answer tied to its notice that no try waits for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What the networks of one process share.

    Attributes:
        settle: the step of the ledger for everything about settlement days.
        now: our clock, aware UTC.
        monotonic: a clock in seconds that never steps.
        session_keys: what networks need whose key is changed over the line; None: there is none of these.
        teller: sends notices; None: nobody does.
        verifications: whose turn it is to have a MAC looked at.
    """

    module: SecurityModule
    books: Books
    settle: SettleStep
    in_flight: InFlight
    meters: MeterQueue
    metrics: Metrics
    reactor: IReactorTime
    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    session_keys: KeyServices | None = None
    teller: Teller | None = None
    verifications: VerificationTurns = field(default_factory=VerificationTurns)


def permission_of(section: AcquirerSection) -> Permission:
    """Return what the configuration lets a network sell."""
    sells = section.sells
    services = frozenset(Service[name.upper()] for name in sells.services)
    return Permission(
        is_stopped=section.state != "serving",
        kinds=frozenset(OrderKind(name) for name in sells.kinds),
        services=None if services == frozenset(Service) else services,
        minimum_paid_centavos=Centavos(sells.minimum_paid_centavos),
        maximum_paid_centavos=Centavos(sells.maximum_paid_centavos),
        hours=sells.hours,
    )


def tells(section: AcquirerSection, kind: str) -> bool:
    """Whether a network gets notices of *kind*, a value of `vending.notice.NoticeKind`."""
    return section.notices is not None and kind in section.notices.kinds


def _changes_of(section: AcquirerSection) -> dict[ResponseCode, str]:
    return {ResponseCode(name): text for name, text in section.response_codes.items()}


def dialect_complaints(section: AcquirerSection) -> list[Complaint]:
    """Return what in a section does not fit its dialect; the configuration alone cannot know."""
    faults = spelling_faults(SPELLINGS[section.dialect], _changes_of(section))
    return [Complaint(key=f"acquirers.{section.id}.response_codes.{name}", text=text) for name, text in faults.items()]


def _dialect_of(section: AcquirerSection) -> Dialect:
    dialect = DIALECTS[section.dialect]()
    changes = _changes_of(section)
    if changes:
        dialect = respelled(dialect, SPELLINGS[section.dialect], changes)
    if section.response_texts:
        dialect = worded(dialect, {ResponseCode(name): text for name, text in section.response_texts.items()})
    if section.mac.is_always_in_128:
        dialect = mac_in_128(dialect)
    return widened(dialect) if section.both_bitmaps else dialect


def _session_keys_of(section: AcquirerSection, shared: Shared) -> SessionKeys | None:
    mac = section.mac
    if not mac.session_keys:
        return None
    assert shared.session_keys is not None, "the process serves networks with session keys"
    assert mac.zone_register_id is not None, "checked when the configuration was read"
    return SessionKeys(
        KeyRules(
            acquirer_id=section.id,
            static=MacKey(register_id=mac.register_id, scheme=mac.scheme, diversifier=""),
            zone_register_id=mac.zone_register_id,
            overlap_seconds=mac.overlap_seconds,
            age_warning_seconds=3600 * mac.age_warning_hours,
        ),
        step=shared.session_keys.step,
        module=shared.session_keys.module,
        metrics=shared.metrics.acquirer(section.id),
        now=shared.now,
        monotonic=shared.monotonic,
    )


def _seal_of(section: AcquirerSection, shared: Shared, dialect: Dialect, sessions: SessionKeys | None) -> Seal:
    module = InTurn(
        shared.module,
        shared.verifications,
        network=section.id,
        now=shared.monotonic,
        count_wait=shared.metrics.acquirer(section.id).verifications_waited.inc,
    )
    return Seal(
        module,
        dialect,
        register_id=section.mac.register_id,
        scheme=section.mac.scheme,
        is_diversified=section.mac.is_diversified_by_terminal,
        sessions=sessions,
        devices={terminal: bytes.fromhex(ksn) for terminal, ksn in section.mac.dukpt_devices.items()},
    )


def _tell_balance_of(section: AcquirerSection) -> TellBalance:
    return with_balance if section.tells_balance else without_balance


def _reversal_of(section: AcquirerSection, shared: Shared, dialect: Dialect, seal: Seal) -> Reversal:
    return Reversal(
        dialect=dialect,
        seal=seal,
        books=shared.books,
        in_flight=shared.in_flight,
        parking=parking_limits(section),
        metrics=shared.metrics.acquirer(section.id),
        tell_balance=_tell_balance_of(section),
    )


def exchange_of(section: AcquirerSection, shared: Shared, before: Exchange | None = None) -> Exchange:
    """Put the exchange of one network together.

    Args:
        section: its configuration; another one takes another exchange.
        shared: what all networks share.
        before: the exchange under the last configuration, whose work and memory go on; None: there is none.
    """
    load = Load() if before is None else before.load
    load.adopt(section, shared.monotonic())
    dialect = _dialect_of(section)
    books, in_flight, metrics = shared.books, shared.in_flight, shared.metrics.acquirer(section.id)
    sessions = _session_keys_of(section, shared)
    seal = _seal_of(section, shared, dialect, sessions)
    forgotten = metrics.first_copies_forgotten
    first_copies = FirstCopies(shared.monotonic, forgotten.inc) if before is None else before.first_copies
    tell_balance = _tell_balance_of(section)
    return Exchange(
        section,
        load=load,
        permission=permission_of(section),
        dialect=dialect,
        seal=seal,
        tell_balance=tell_balance,
        books=books,
        recharge=Recharge(
            dialect=dialect,
            seal=seal,
            module=shared.module,
            books=books,
            in_flight=in_flight,
            meters=shared.meters,
            reactor=shared.reactor,
            busy_seconds_max=section.answer_deadline_seconds / 2,
            tell_balance=tell_balance,
            tells_outcome=tells(section, "outcome"),
        ),
        reversal=_reversal_of(section, shared, dialect, seal),
        advice=Advice(dialect=dialect, seal=seal, books=books, in_flight=in_flight, tell_balance=tell_balance),
        last_answer=LastAnswer(
            dialect=dialect,
            seal=seal,
            books=books,
            in_flight=in_flight,
            count_reprint=metrics.reprints.inc,
            tell_balance=tell_balance,
        ),
        totals=Totals(
            dialect=dialect,
            seal=seal,
            books=books,
            settle=shared.settle,
            in_flight=in_flight,
            network_terminals=section.network_terminals,
            metrics=metrics,
            tell_balance=tell_balance,
        ),
        session_key_change=SessionKeyChange(dialect=dialect, seal=seal, keys=sessions),
        first_copies=first_copies,
        metrics=metrics,
        reactor=shared.reactor,
        now=shared.now,
        monotonic=shared.monotonic,
        tell_late=shared.teller.tell_outcome if shared.teller is not None and tells(section, "outcome") else None,
    )
