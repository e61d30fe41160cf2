"""A head-end and a till as real processes over TLS, and the commands by which a lease is carried by hand."""

import json
import shutil
import signal
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from click.testing import CliRunner

from cli.security_module import security_module
from messages.security_module import LeaseLeft, MintReply, ReadLease, Refused, Status
from security_module.audit_chain import AuditKey
from security_module.ceremony import init
from security_module.custody import Opened, open_with_passphrase, replace_store
from security_module.key_store import read_passphrase, read_store
from security_module.layout import Layout
from security_module.registers import ModuleKeys
from security_module.vendors import Till
from sts.codes import BaseDate
from sts.tid import tid_at
from tests.security_module.conftest import ModuleProcess
from tests.security_module.lease_bench import TERMINAL, a_sale, a_vendor
from vending.money import Tenths

Change = Callable[[ModuleKeys], ModuleKeys]


def change(directory: Path, how: Change) -> ModuleKeys:
    """Seal the store of a module anew, as a ceremony does."""
    layout = Layout(directory)
    opened = open_with_passphrase(read_store(layout.store), read_passphrase(layout.passphrase))
    replace_store(layout, Opened(keys=how(opened.keys), kek=opened.kek))
    return opened.keys


def public_key(keys: ModuleKeys) -> str:
    assert keys.audit_key is not None
    return AuditKey(keys.module_id, keys.audit_key).public_hex()


def call(*arguments: str) -> str:
    result = CliRunner().invoke(security_module, ["lease", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments: str) -> str:
    result = CliRunner().invoke(security_module, ["lease", *arguments])
    assert result.exit_code == 1
    return result.output


def test_a_lease_carried_by_hand(
    directory: Path, start_module: Callable[[Path], ModuleProcess], tmp_path: Path
) -> None:
    """Closed, asked for, accepted, sold under, killed and sold under again; the pesos at risk are shown; then it is revoked."""
    head_directory, till_directory = tmp_path / "head", tmp_path / "till"
    shutil.move(directory, till_directory)
    head_keys = init(head_directory, seed_test_keys=False, now=datetime.now(UTC))  # noqa: TID251 - real processes
    till = Till(terminal_id=TERMINAL, head_end_key=public_key(head_keys))
    till_keys = change(till_directory, lambda keys: replace(keys, till=till))
    vendor = a_vendor(public_key=public_key(till_keys))
    change(head_directory, lambda keys: replace(keys, vendors={TERMINAL: vendor}))
    statement, lease = tmp_path / "closing", tmp_path / "lease"
    head, seller = start_module(head_directory), start_module(till_directory)
    at_head = ["--directory", str(head_directory), "--address", f"127.0.0.1:{head.port}"]
    at_till = ["--directory", str(till_directory), "--address", f"127.0.0.1:{seller.port}"]

    known = CliRunner().invoke(security_module, ["show", "--directory", str(head_directory)]).output
    assert json.loads(known)["vendor_terminals"] == [vendor.document()]
    call("close", *at_till, "--output", str(statement))
    call("ask", str(statement), *at_head, "--output", str(lease))
    assert f"{TERMINAL}: lease 1, 10000.00 pesos until 20" in call("accept", str(lease), *at_till)
    assert "there already" in refused("ask", str(statement), *at_head, "--output", str(lease))
    tid = tid_at(datetime.now(UTC), BaseDate.Y2014)  # noqa: TID251 - real processes
    sale = replace(a_sale(1, 4_000), tokens=((tid, Tenths(10)),))
    with ExitStack() as stack:
        link = seller.connect(stack, Layout(till_directory).client("switch"))
        minted = link.ask(sale)
        assert isinstance(minted, MintReply)
        seller.end(signal.SIGKILL)
    seller = start_module(till_directory)
    with ExitStack() as stack:
        link = seller.connect(stack, Layout(till_directory).client("switch"))
        assert link.ask(sale) == minted
        too_much = link.ask(replace(sale, request_id=2, tokens=((tid + 1, Tenths(10)),)))
        assert isinstance(too_much, Refused)
        assert too_much.status is Status.LEASE_METER_LIMIT
        left = link.ask(ReadLease())
        assert isinstance(left, LeaseLeft)
        assert (left.epoch, left.sales, left.centavos) == (1, 7, 6_000_00)

    shown = json.loads(call("show", "--directory", str(head_directory)))
    assert shown["at_risk_pesos"] == "10000.00"
    assert [(each["terminal"], each["epoch"], each["stopped"]) for each in shown["terminals"]] == [(TERMINAL, 1, None)]
    at_the_till = json.loads(call("show", "--directory", str(till_directory)))["till"]
    assert (at_the_till["sold_pesos"], at_the_till["left_pesos"]) == ("4000.00", "6000.00")
    assert "no lease any more" in call("revoke", TERMINAL, *at_head)
    at_till[-1] = f"127.0.0.1:{seller.port}"
    statement.unlink()
    call("close", *at_till, "--output", str(statement))
    assert "revoked" in refused("ask", str(statement), *at_head, "--output", str(tmp_path / "second"))
    (terminal,) = json.loads(call("show", "--directory", str(head_directory)))["terminals"]
    assert (terminal["stopped"], terminal["at_risk_pesos"]) == ("revoked", "10000.00")


def test_show_before_there_is_anything(directory: Path, tmp_path: Path) -> None:
    """A module that never started says so, and commands without a module end with a sentence."""
    assert "never started" in refused("show", "--directory", str(directory))
    lease = tmp_path / "lease"
    lease.write_bytes(b"")
    assert "no lease" in refused("accept", str(lease), "--directory", str(directory), "--address", "127.0.0.1:1")
