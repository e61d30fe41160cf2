"""A day with faults planted in real books and a real module: the proof names exactly the orphans that were made, and nobody else."""

import json
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from cli import context
from cli.system import RunningSystem, running_system
from ledger.module_proof import MINTED_CHECK, POSTED_CHECK
from ledger.work_proof import WORK_CHECK
from messages.security_module import EngineeringReply, MintReply, MintRequest
from security_module.layout import Layout
from security_module.roles import Role
from sts.codes import BaseDate
from sts.pan import pan_of_meter
from sts.tid import tid_at
from tests.flows.command import eudora
from tests.flows.conftest import Books
from tests.flows.raw_terminal import RawTerminal
from vending.calendar import local_date
from vending.engineering import EngineeringKind, EngineeringRequest
from vending.money import Centavos, Tenths

STOLEN_ID = 2**62 + 7
FORGED_ID = 2**62 + 8
FREE_METER = "m.service = 0 AND m.status = 'active' AND m.held_by IS NULL"


@pytest.fixture(scope="module")
def system() -> Iterator[RunningSystem]:
    """A system of its own: its books do not agree afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="eudora-faults-") as home,
        running_system(Path(home), on_free_ports=True, terminals=20, environment={}) as running,
    ):
        yield running


def orphans() -> list[tuple[str, int, str | None]]:
    """What `eudora ledger check` names."""
    report = json.loads(eudora("ledger", "check").stdout)
    named = [each for each in report["differences"] if each["check"] in (MINTED_CHECK, POSTED_CHECK, WORK_CHECK)]
    return sorted((each["check"], each["request_id"], each.get("why")) for each in named)


def sell(terminal: RawTerminal, books: Books, count: int) -> list[int]:
    """Sell on *count* meters; the ids of the sales."""
    ids = []
    with context.engine().connect() as connection:
        query = text(f"SELECT meter_number FROM meter m WHERE {FREE_METER} ORDER BY id LIMIT :count")
        meters = [str(each) for each in connection.execute(query, {"count": count}).scalars()]
    for meter in meters:
        assert terminal.ask(terminal.recharge(meter, 2_000_000)).get(39) == "00"
        ids.append(int(books.value("SELECT max(id) FROM sale WHERE state = 'posted'")))
    return ids


def execute(statement: str, **values: Any) -> None:
    with context.engine().begin() as connection:
        assert connection.execute(text(statement), values).rowcount == 1


def test_the_proof_names_exactly_the_orphans_that_were_made(
    system: RunningSystem, terminal: RawTerminal, books: Books
) -> None:
    """A stolen mint and a stolen engineer's token, a sale made void behind the books' back or moved, a token never made."""
    _, void, moved, unminted, _ = sell(terminal, books, 5)
    assert orphans() == []
    tid = tid_at(datetime.now(UTC), BaseDate.Y2014)  # noqa: TID251
    stolen = MintRequest(
        request_id=STOLEN_ID,
        register_id=1,
        pan=pan_of_meter("37000000002"),
        tariff_index=1,
        encryption_algorithm=11,
        subclass=0,
        tokens=((tid, Tenths(9_999)),),
        charged_centavos=Centavos(0),
    )
    assert isinstance(context.ask_module(Role.SWITCH, stolen), MintReply)
    forged = EngineeringRequest(
        request_id=FORGED_ID,
        register_id=1,
        pan=pan_of_meter("37000000002"),
        tariff_index=1,
        encryption_algorithm=11,
        kind=EngineeringKind.CLEAR_TAMPER,
        value=0,
        tid=tid,
    )
    assert isinstance(context.ask_module(Role.ENGINEER, forged), EngineeringReply)
    execute("UPDATE sale SET state = 'void' WHERE id = :id", id=void)
    execute("UPDATE sale SET register_id = register_id + 1 WHERE id = :id", id=moved)
    forget_mint(system, unminted)
    assert orphans() == [
        (WORK_CHECK, FORGED_ID, "no_record"),
        (MINTED_CHECK, void, "void_sale"),
        (MINTED_CHECK, moved, "differs"),
        (MINTED_CHECK, STOLEN_ID, "no_sale"),
        (POSTED_CHECK, unminted, None),
    ]
    day = local_date(datetime.now(UTC))  # noqa: TID251
    (listed,) = json.loads(eudora("security-module", "proof", "--day", day.isoformat()).stdout)["engineers_tokens"]
    assert (listed["id"], listed["class"], listed["subclass"], listed["approvals"]) == (FORGED_ID, 2, 5, 0)


def forget_mint(system: RunningSystem, request_id: int) -> None:
    """Delete the audit line of one mint from the disk of the module, as whoever owns its machine could."""
    with closing(sqlite3.connect(Layout(context.module_directory()).mint_log, isolation_level=None)) as database:
        deleted = database.execute("DELETE FROM record WHERE request_id = ?", (request_id,))
        assert deleted.rowcount == 1


def test_the_deleted_line_is_found_without_the_books(system: RunningSystem, tmp_path: Path) -> None:
    """The export of that day does not verify, and it says where."""
    system.security_module.stop()  # It signs the end of what it believes to have written.
    key, file = tmp_path / "module.pem", tmp_path / "day.jsonl"
    key.write_text(eudora("security-module", "audit", "public-key").stdout)
    done = eudora("security-module", "audit", "export", "--output", str(file))
    verified = eudora("security-module", "audit", "verify", str(file), "--public-key", str(key))
    assert done.exit_code == 0, done.stderr
    assert verified.exit_code == 1
    assert "record" in verified.stderr
