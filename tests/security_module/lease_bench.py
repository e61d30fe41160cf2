"""A head-end's module and a till's, in memory, for tests of leases: with clocks that can be set, and stores that can be opened again."""

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock

from messages.security_module import (
    AcceptLease,
    AskLease,
    CloseLease,
    LeaseClosed,
    LeaseGiven,
    LeaseLeft,
    MintRequest,
    ReadLease,
    Refused,
    Reply,
    Request,
    Status,
    encode_request,
)
from security_module.audit_chain import AuditKey
from security_module.lease_commands import record_changes
from security_module.main import assemble
from security_module.mint_log import MintLog
from security_module.registers import ModuleKeys
from security_module.roles import Role
from security_module.server import Links
from security_module.session import Session
from security_module.vendors import LeaseLimits, Till, VendorTerminal
from sts.codes import BaseDate
from sts.tid import tid_at
from tests.security_module.conftest import NOW
from tests.security_module.test_module_session import HeldThread, read
from vending.money import Centavos, Tenths
from vending.secret import Secret

TERMINAL = "T0000042"
GROUPS = ((201457, 1),)
LIMITS = LeaseLimits(
    credit_centavos=10_000_00,
    units_tenths=500,
    sales_max=8,
    sale_max_centavos=4_000_00,
    meter_day_max_centavos=6_000_00,
)
HOURS = 48
ANA, LUZ = "600727000000000009", "600727000000000017"
_HEAD_SEED, _TILL_SEED = bytes([1]) * 32, bytes([2]) * 32


def public_key(seed: bytes) -> str:
    """As the other module is told it."""
    return AuditKey("", Secret(seed)).public_hex()


HEAD_KEY = public_key(_HEAD_SEED)
TILL_KEY = public_key(_TILL_SEED)


def a_vendor(**changes: Any) -> VendorTerminal:
    """The terminal as two people registered it."""
    first = VendorTerminal(
        terminal_id=TERMINAL,
        public_key=TILL_KEY,
        supply_groups=GROUPS,
        limits=LIMITS,
        lease_hours=HOURS,
        zone="rio-2",
    )
    return replace(first, **changes)


def head_keys(keys: ModuleKeys, *vendors: VendorTerminal) -> ModuleKeys:
    """The store of the head-end."""
    return replace(
        keys,
        module_id="head",
        audit_key=Secret(_HEAD_SEED),
        vendors={each.terminal_id: each for each in vendors or (a_vendor(),)},
    )


def till_keys(keys: ModuleKeys, seed: bytes = _TILL_SEED, terminal_id: str = TERMINAL) -> ModuleKeys:
    """The store of a till."""
    return replace(
        keys,
        module_id="till",
        audit_key=Secret(seed),
        till=Till(terminal_id=terminal_id, head_end_key=HEAD_KEY),
    )


@dataclass
class Times:
    """A wall clock that can be set, and ticks that cannot."""

    now: datetime = NOW
    ticks: float = 0.0

    def go_on(self, **some: float) -> None:
        """Let time pass."""
        passed = timedelta(**some)
        self.now += passed
        self.ticks += passed.total_seconds()


@dataclass
class Station:
    """One module: asked like over a link, stopped and started again on the same store."""

    keys: ModuleKeys
    path: Path
    times: Times = field(default_factory=Times)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Open the store, as at a start of the process."""
        assert self.keys.audit_key is not None
        self.log = MintLog(
            self.path,
            self.keys.vending,
            lambda: self.times.now,
            audit_key=AuditKey(self.keys.module_id, self.keys.audit_key),
            ticks=lambda: self.times.ticks,
            is_of_till=self.keys.till is not None,
        )
        record_changes(self.log, self.keys)
        self.thread = HeldThread()
        self.links: Links = assemble(self.keys, self.log, Clock(), self.thread, lambda: self.times.now)

    def again(self, keys: ModuleKeys | None = None) -> None:
        """Stop and start, with another sealed store if one is given."""
        self.log.close()
        self.keys = keys or self.keys
        self.start()

    def ask(self, request: Request, role: Role = Role.SWITCH) -> Reply:
        """Ask one thing over a link of its own."""
        conversation = Session(self.links.module, role, lambda _: None)
        conversation.receive(encode_request(5, request))
        while self.thread.held:
            self.thread.run()
        ((_, reply),) = read(conversation)
        return reply

    def status(self, request: Request, role: Role = Role.SWITCH) -> Status:
        """Ask, and return the status alone."""
        reply = self.ask(request, role)
        return reply.status if isinstance(reply, Refused) else Status.OK


class HeadEnd(Station):
    """The module that gives leases."""

    def lease_for(self, statement: bytes) -> bytes:
        """Ask for a lease that must be given."""
        reply = self.ask(AskLease(statement=statement), Role.VENDOR_TERMINAL)
        assert isinstance(reply, LeaseGiven), reply
        return reply.lease

    def refusal_of(self, statement: bytes) -> Status:
        """Ask for a lease that must not be given."""
        return self.status(AskLease(statement=statement), Role.VENDOR_TERMINAL)


class TillStation(Station):
    """The module of a till."""

    def close(self) -> bytes:
        """Close the lease in force, or say that there never was one."""
        reply = self.ask(CloseLease())
        assert isinstance(reply, LeaseClosed), reply
        return reply.statement

    def accept(self, lease: bytes) -> Status:
        """Bring a lease."""
        return self.status(AcceptLease(lease=lease))

    def left(self) -> LeaseLeft:
        """Ask what is left."""
        reply = self.ask(ReadLease())
        assert isinstance(reply, LeaseLeft)
        return reply

    def sell(self, *sales: MintRequest) -> list[Status]:
        """Ask for mints, one after the other."""
        return [self.status(each) for each in sales]


def a_sale(
    request_id: int, pesos: int | None = 1_000, *, pan: str = ANA, units: int = 10, **changes: Any
) -> MintRequest:
    """A sale at the till at noon of the first day."""
    first = MintRequest(
        request_id=request_id,
        register_id=1,
        pan=pan,
        tariff_index=1,
        encryption_algorithm=11,
        subclass=0,
        tokens=((tid_at(NOW, BaseDate.Y2014) + request_id, Tenths(units)),),
        charged_centavos=None if pesos is None else Centavos(100 * pesos),
    )
    return replace(first, **changes)


def sync(head: HeadEnd, till: TillStation) -> bytes:
    """Close, ask, accept: what a vendor comes by for. Return the lease."""
    lease = head.lease_for(till.close())
    assert till.accept(lease) is Status.OK
    return lease


def close_all(stations: Iterable[Station]) -> None:
    """Close the stores."""
    for each in stations:
        each.log.close()


def acts(path: Path) -> list[dict[str, Any]]:
    """What the audit says was done, in order."""
    rows = sqlite3.connect(path).execute("SELECT line FROM record ORDER BY sequence").fetchall()
    return [fields for (line,) in rows if (fields := json.loads(line))["kind"] == "act"]
