"""A worker is ready when it has its database and its tariffs, so that no sale waits for them."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine

from ledger.errors import LedgerUnavailable
from switch import ledger_worker
from switch.ledger_worker import READY, WorkerSettings, run_batch, steps
from vending.money import Centavos
from vending.policy import SalePolicy
from vending.tariff import TariffBook

SETTINGS = WorkerSettings(
    dsn="",
    policy=SalePolicy(minimum_paid_centavos=Centavos(1), maximum_paid_centavos=Centavos(10), cap_basis_points=None),
)


def _steps(monkeypatch: pytest.MonkeyPatch, read_tariffs: Callable[[Engine], TariffBook]) -> list[str]:
    """Replace what reaches for the database; return the list of what was reached for."""
    reached: list[str] = []

    def require(_engine: Any) -> None:
        reached.append("schema")

    def read(engine: Engine) -> TariffBook:
        reached.append("tariffs")
        return read_tariffs(engine)

    monkeypatch.setattr(ledger_worker, "open_engine", lambda *_, **__: object())
    monkeypatch.setattr(ledger_worker, "require_schema", require)
    monkeypatch.setattr(ledger_worker, "load_tariffs", read)
    return reached


def test_a_ready_worker_has_looked_at_its_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers after it has seen the schema and read the tariffs, and the first sale reads neither again."""
    reached = _steps(monkeypatch, lambda _engine: TariffBook(()))
    by_name = steps(SETTINGS, lambda: 0.0)
    assert run_batch(by_name[READY], []) == []
    run_batch(by_name["reserve"], [])
    run_batch(by_name["inquire"], [])
    assert reached == ["schema", "tariffs"]


def test_a_worker_without_a_database_says_so_and_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is away is no reason not to answer: the ports open, and sales are told."""

    def away(_engine: Engine) -> TariffBook:
        raise LedgerUnavailable("away")

    reached = _steps(monkeypatch, away)
    assert run_batch(steps(SETTINGS, lambda: 0.0)[READY], []) == []
    assert reached == ["schema", "tariffs"]
