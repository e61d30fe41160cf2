"""The datáfono's own memory: who it is, its key, its counter, and the last exchange, which survives a power cut.

A request is written here before it is sent. As long as it has no final answer the terminal asks again under the same key and
sells nothing else, so a lost answer can never become a second sale.
"""

import fcntl
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any

from config.state_files import OWNER_ONLY, replace_durably
from pos.tally import Sold, Tally, given_back, sold_by
from vending.secret import Secret

FORMAT_VERSION = 1
ADVICES_KEPT_MAX = 16
"""Delivery advices that wait for the network; the oldest go first. They say nothing about money, so a sale never waits for them."""

OFFLINE_KEPT_MAX = 200
"""Payments taken without a line that wait to be uploaded, some 20 batches. Money is in each, so the next is refused and none goes."""

STAN_MAX = 999_999
"""Six digits; 000000 is skipped, because some networks read it as absent."""

_TERMINAL_ID = re.compile(r"[0-9A-Za-z]{8}")
_MERCHANT_ID = re.compile(r"[0-9A-Za-z ]{15}")
_NII = re.compile(r"[0-9]{3}")


class StoreError(Exception):
    """The terminal's memory is missing, damaged or of a later format."""


class ExchangeOpen(Exception):
    """The last request has no final answer yet: repeat it or reverse it before anything else is sold."""


class OfflineFull(Exception):
    """As many payments as the memory holds wait to be uploaded."""


class ExchangeStatus(Enum):
    """What the terminal knows of a request that it stored."""

    OPEN = "open"
    """Sent, or about to be; no final answer."""
    FINAL = "final"
    """A final answer with a valid MAC is stored."""
    REVERSED = "reversed"
    """A later reversal undid it, or found that it never arrived. It must not be repeated."""
    NOT_SENT = "not-sent"
    """No octet left the terminal."""


class ExchangeKind(Enum):
    """What was asked; the value is how the file spells it."""

    SALE = "sale"
    REVERSAL = "reversal"
    ADVICE = "advice"


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminalIdentity:
    """Who the terminal is.

    Attributes:
        terminal_id: data element 41, 8 letters or digits.
        merchant_id: data element 42, 15 letters, digits or spaces.
        nii: data element 24, 3 digits; the TPDU's destination.
        mac_scheme: a name of `vending.ports.MacScheme`.
        mac_key: 16 octets, this terminal's own.
    """

    terminal_id: str
    merchant_id: str
    nii: str
    mac_scheme: str
    mac_key: Secret[bytes]

    def __post_init__(self) -> None:
        if not _TERMINAL_ID.fullmatch(self.terminal_id):
            raise ValueError(f"a terminal id is 8 letters or digits, not {self.terminal_id!r}")
        if not _MERCHANT_ID.fullmatch(self.merchant_id):
            raise ValueError(f"a merchant id is 15 letters, digits or spaces, not {self.merchant_id!r}")
        if not _NII.fullmatch(self.nii):
            raise ValueError(f"an NII is 3 digits, not {self.nii!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredExchange:
    """One request and what came of it.

    Attributes:
        kind: sale (a recharge or a payment), reversal or delivery advice.
        transmitted_at: data element 7 with its year, aware, UTC.
        request: the first message, with its MAC, without TPDU and length.
        status: see `ExchangeStatus`.
        answer: the final answer, as received; it may hold PINs.
        copies: how often the ticket was printed again.
        is_advised: a delivery advice of this sale was stored.
        is_counted: it is in the tally of its settlement day.
    """

    kind: ExchangeKind
    transmitted_at: datetime
    request: bytes
    status: ExchangeStatus = ExchangeStatus.OPEN
    answer: bytes | None = field(default=None, repr=False)
    copies: int = 0
    is_advised: bool = False
    is_counted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Memory:
    """What the file holds."""

    identity: TerminalIdentity
    last_stan: int = 0
    sale: StoredExchange | None = None
    reversal: StoredExchange | None = None
    advices: tuple[StoredExchange, ...] = ()
    offline: tuple[StoredExchange, ...] = ()
    tally: Tally = field(default_factory=Tally)


class TerminalStore:
    """The memory of one terminal, a JSON file that is replaced atomically and is durable when a method returns."""

    def __init__(self, path: Path, memory: _Memory) -> None:
        self._path = path
        self._memory = memory

    @classmethod
    def create(cls, directory: Path, identity: TerminalIdentity) -> "TerminalStore":
        """Key a new terminal.

        Args:
            directory: where the terminals of this machine live; made when missing.
            identity: who it is.

        Raises:
            StoreError: a terminal of this id is there already.
        """
        path = _path_of(directory, identity.terminal_id)
        if path.exists():
            raise StoreError(f"{path} exists already")
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        store = cls(path, _Memory(identity=identity))
        store._write()
        return store

    @classmethod
    def open(cls, directory: Path, terminal_id: str) -> "TerminalStore":
        """Read a terminal's memory.

        Raises:
            StoreError: there is none, it is damaged, or it was written by a later version.
        """
        path = _path_of(directory, terminal_id)
        return cls(path, _read(path))

    @staticmethod
    def exists(directory: Path, terminal_id: str) -> bool:
        """Whether a terminal of this id was keyed here."""
        return _path_of(directory, terminal_id).exists()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Be the only process that is this terminal, and see what the one before left; waits for its turn.

        Two commands at once would otherwise use one STAN twice or forget each other's open sale.
        """
        lock_path = self._path.with_suffix(".lock")
        descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._memory = _read(self._path)
            yield
        finally:
            os.close(descriptor)

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    @property
    def identity(self) -> TerminalIdentity:
        """Who the terminal is."""
        return self._memory.identity

    @property
    def sale(self) -> StoredExchange | None:
        """The last sale, or None before the first."""
        return self._memory.sale

    @property
    def reversal(self) -> StoredExchange | None:
        """The reversal of the last sale, if one was asked for."""
        return self._memory.reversal

    @property
    def advices(self) -> tuple[StoredExchange, ...]:
        """Delivery advices without an answer, oldest first."""
        return self._memory.advices

    @property
    def offline(self) -> tuple[StoredExchange, ...]:
        """Payments taken without a line that have no final answer, oldest first."""
        return self._memory.offline

    @property
    def tally(self) -> Tally:
        """What was sold, by settlement day."""
        return self._memory.tally

    def take_stan(self) -> str:
        """Return the next system trace audit number, 6 digits; it is spent from now on, even if the power fails."""
        stan = self._memory.last_stan % STAN_MAX + 1
        self._memory = replace(self._memory, last_stan=stan)
        self._write()
        return f"{stan:06}"

    def check_may_sell(self) -> None:
        """Return if nothing is open.

        Raises:
            ExchangeOpen: the last sale or its reversal has no final answer.
        """
        for exchange in (self.sale, self.reversal):
            if exchange is not None and exchange.status is ExchangeStatus.OPEN:
                raise ExchangeOpen(exchange.kind.value)

    def store_sale(self, exchange: StoredExchange) -> None:
        """Remember a sale before it is sent; the one before it and its reversal are forgotten.

        Raises:
            ExchangeOpen: see `check_may_sell`.
        """
        assert exchange.kind is ExchangeKind.SALE
        self.check_may_sell()
        self._memory = replace(self._memory, sale=exchange, reversal=None)
        self._write()

    def store_reversal(self, exchange: StoredExchange) -> None:
        """Remember a reversal of the last sale before it is sent."""
        assert exchange.kind is ExchangeKind.REVERSAL
        self._last_sale()
        self._memory = replace(self._memory, reversal=exchange)
        self._write()

    def settle_sale(self, status: ExchangeStatus, answer: bytes | None = None) -> None:
        """Write how the last sale ended, with its final answer if it brought one."""
        sale = self._last_sale()
        kept = answer if answer is not None else sale.answer
        self._memory = replace(self._memory, sale=replace(sale, status=status, answer=kept))
        self._count(answer)
        self._write()

    def settle_reversal(
        self, status: ExchangeStatus, answer: bytes | None = None, *, sale_status: ExchangeStatus | None = None
    ) -> None:
        """Write how the reversal ended and, in the same write, what that means for the sale (None: it stays as it is)."""
        sale, reversal = self._last_sale(), self.reversal
        assert reversal is not None
        self._memory = replace(
            self._memory,
            sale=replace(sale, status=sale_status or sale.status),
            reversal=replace(reversal, status=status, answer=answer),
        )
        self._count(answer)
        if sale_status is ExchangeStatus.REVERSED and sale.is_counted and sale.answer is not None:
            sold = sold_by(sale.request, sale.answer, sale.transmitted_at)
            if sold is not None:
                uncounted = replace(self._last_sale(), is_counted=False)
                self._memory = replace(
                    self._memory, sale=uncounted, tally=self._memory.tally.with_sold(given_back(sold))
                )
        self._write()

    def _count(self, answer: bytes | None) -> None:
        """Put the last sale in the tally, once, when *answer* says that it stands."""
        sale = self._last_sale()
        if answer is None or sale.is_counted:
            return
        sold = sold_by(sale.request, answer, sale.transmitted_at)
        if sold is not None:
            counted = replace(sale, is_counted=True)
            self._memory = replace(self._memory, sale=counted, tally=self._memory.tally.with_sold(sold))

    def store_advice(self, exchange: StoredExchange) -> None:
        """Remember the delivery advice of the last sale before it is sent; each sale has one."""
        assert exchange.kind is ExchangeKind.ADVICE
        sale = replace(self._last_sale(), is_advised=True)
        advices = (*self._memory.advices, exchange)[-ADVICES_KEPT_MAX:]
        self._memory = replace(self._memory, sale=sale, advices=advices)
        self._write()

    def drop_advice(self, exchange: StoredExchange) -> None:
        """Forget an advice that was answered."""
        advices = tuple(each for each in self._memory.advices if each != exchange)
        self._memory = replace(self._memory, advices=advices)
        self._write()

    def store_offline(self, exchange: StoredExchange) -> None:
        """Remember a payment that is taken without a line, before its provisional ticket is printed.

        Raises:
            OfflineFull: there is no room; what is there must be uploaded first.
        """
        assert exchange.kind is ExchangeKind.SALE
        if len(self.offline) >= OFFLINE_KEPT_MAX:
            raise OfflineFull
        self._memory = replace(self._memory, offline=(*self.offline, exchange))
        self._write()

    def settle_uploaded(self, ended: Sequence[tuple[StoredExchange, Sold | None]]) -> None:
        """Forget payments and advices that have final answers, and count in the same write those that stand."""
        gone = [exchange for exchange, _ in ended]
        tally = self._memory.tally
        for _, sold in ended:
            tally = tally if sold is None else tally.with_sold(sold)
        self._memory = replace(
            self._memory,
            offline=tuple(each for each in self.offline if each not in gone),
            advices=tuple(each for each in self.advices if each not in gone),
            tally=tally,
        )
        self._write()

    def count_copy(self, *, at_least: int = 0) -> int:
        """Count one more reprint of the last sale's ticket and return the count, which is the network's where that is higher."""
        sale = self._last_sale()
        copies = max(sale.copies + 1, at_least)
        self._memory = replace(self._memory, sale=replace(sale, copies=copies))
        self._write()
        return copies

    def _last_sale(self) -> StoredExchange:
        sale = self._memory.sale
        assert sale is not None
        return sale

    def _write(self) -> None:
        """Replace the file: the old one or the new one is there after a power cut, never half of one."""
        replace_durably(self._path, json.dumps(_state_of(self._memory), indent=1).encode())


def _path_of(directory: Path, terminal_id: str) -> Path:
    if not _TERMINAL_ID.fullmatch(terminal_id):
        raise StoreError(f"a terminal id is 8 letters or digits, not {terminal_id!r}")
    return directory / f"{terminal_id}.json"


def _read(path: Path) -> _Memory:
    try:
        state = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise StoreError(f"{path} is not there: this terminal was never keyed") from error
    except ValueError as error:
        raise StoreError(f"{path}: damaged (not JSON)") from error
    try:
        if state["version"] != FORMAT_VERSION:
            raise StoreError(f"{path}: format {state['version']!r}, this program reads {FORMAT_VERSION}")
        return _memory_from(state)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # The error's text is left out: it may quote the key.
        raise StoreError(f"{path}: damaged ({type(error).__name__})") from None


def _state_of(memory: _Memory) -> dict[str, Any]:
    identity = memory.identity
    return {
        "version": FORMAT_VERSION,
        "terminal_id": identity.terminal_id,
        "merchant_id": identity.merchant_id,
        "nii": identity.nii,
        "mac_scheme": identity.mac_scheme,
        "mac_key": identity.mac_key.reveal().hex(),
        "last_stan": memory.last_stan,
        "sale": _exchange_state(memory.sale),
        "reversal": _exchange_state(memory.reversal),
        "advices": [_exchange_state(advice) for advice in memory.advices],
        "offline": [_exchange_state(payment) for payment in memory.offline],
        "tally": memory.tally.as_state(),
    }


def _memory_from(state: dict[str, Any]) -> _Memory:
    identity = TerminalIdentity(
        terminal_id=state["terminal_id"],
        merchant_id=state["merchant_id"],
        nii=state["nii"],
        mac_scheme=state["mac_scheme"],
        mac_key=Secret(bytes.fromhex(state["mac_key"])),
    )
    return _Memory(
        identity=identity,
        last_stan=int(state["last_stan"]),
        sale=_exchange_from(ExchangeKind.SALE, state["sale"]),
        reversal=_exchange_from(ExchangeKind.REVERSAL, state["reversal"]),
        advices=tuple(_exchanges_from(ExchangeKind.ADVICE, state.get("advices", []))),
        offline=tuple(_exchanges_from(ExchangeKind.SALE, state.get("offline", []))),
        tally=Tally.from_state(state.get("tally", {})),
    )


def _exchange_state(exchange: StoredExchange | None) -> dict[str, Any] | None:
    if exchange is None:
        return None
    return {
        "transmitted_at": exchange.transmitted_at.isoformat(),
        "request": exchange.request.hex(),
        "status": exchange.status.value,
        "answer": None if exchange.answer is None else exchange.answer.hex(),
        "copies": exchange.copies,
        "is_advised": exchange.is_advised,
        "is_counted": exchange.is_counted,
    }


def _exchange_from(kind: ExchangeKind, state: dict[str, Any] | None) -> StoredExchange | None:
    if state is None:
        return None
    transmitted_at = datetime.fromisoformat(state["transmitted_at"])
    if transmitted_at.tzinfo is None:
        raise ValueError("transmitted_at has no zone")
    return StoredExchange(
        kind=kind,
        transmitted_at=transmitted_at,
        request=bytes.fromhex(state["request"]),
        status=ExchangeStatus(state["status"]),
        answer=None if state["answer"] is None else bytes.fromhex(state["answer"]),
        copies=int(state["copies"]),
        is_advised=bool(state.get("is_advised", False)),
        is_counted=bool(state.get("is_counted", False)),
    )


def _exchanges_from(kind: ExchangeKind, states: list[dict[str, Any]]) -> Iterator[StoredExchange]:
    for state in states:
        exchange = _exchange_from(kind, state)
        assert exchange is not None, "a list has no empty places"
        yield exchange
