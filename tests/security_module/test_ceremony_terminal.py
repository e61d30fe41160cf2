"""A ceremony on a real terminal, as its people would walk it; then the module starts from shares, mints and MACs, and leaves no key behind."""

import base64
import ctypes
import fcntl
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.security_module import security_module
from messages.security_module import (
    GenerateMac,
    Identify,
    IdentifyReply,
    MacKey,
    MacReply,
    MacScheme,
    MintReply,
    Reply,
    Request,
)
from security_module.ceremony_dialogue import new_module, unseal
from security_module.ceremony_texts import texts_in
from security_module.fingerprints import fingerprint
from security_module.key_store import read_store
from security_module.key_store import unseal as open_store
from security_module.layout import Layout
from security_module.registers import ModuleKeys
from security_module.sealed_store import Kek, read_header
from security_module.shares import read_share
from sts.pan import pan_of_meter
from tests.security_module.conftest import ModuleProcess
from tests.security_module.people import (
    GROUPS,
    KCV_20,
    KEY_20,
    MAC,
    NEW_MODULE,
    SHARE,
    SHARES,
    VENDING,
    WORD,
    Screen,
    lead,
)
from tests.security_module.test_ceremony_dialogue import MAC_KCV
from tests.security_module.test_security_module_process import a_mint
from vending.secret import Secret

SAY = texts_in("es")
PAN = pan_of_meter("37000000002")
"""A meter of the field: both check digits are right."""
SCRIPT = (*NEW_MODULE, *VENDING, *MAC, MAC_KCV, "0", WORD, *SHARES, WORD)


class Terminal:
    """A command on a terminal of its own: what it shows is read, lines are typed when their question stands there."""

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        self._master, slave = pty.openpty()
        self.shown = ""
        self._seen = 0
        self.child = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "security-module", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={**os.environ, **environment},
        )
        os.close(slave)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._master], [], [], 0.2)
        try:
            data = os.read(self._master, 65536) if ready else b""
        except OSError:  # The other side is closed.
            return False
        self.shown += data.decode("utf-8").replace("\r\n", "\n")
        return bool(data)

    def wait_for(self, text: str) -> None:
        """Read until *text* stands behind what was read before."""
        deadline = time.monotonic() + 30
        while (at := self.shown.find(text, self._seen)) < 0:
            assert time.monotonic() < deadline, f"no {text!r} in {self.shown[self._seen :]!r}"
            if not self._read():
                assert self.child.poll() is None or select.select([self._master], [], [], 0)[0], self.shown
        self._seen = at + len(text)

    def type(self, line: str) -> None:
        """Type a line and Enter."""
        os.write(self._master, line.encode() + b"\n")

    def interrupt(self, answer: str) -> None:
        """Press Ctrl-C until *answer* is shown: between a question and its reading Python may miss one."""
        for _ in range(10):
            os.write(self._master, b"\x03")
            again = time.monotonic() + 3
            while time.monotonic() < again:
                self._read()
                if answer in self.shown:
                    return

    def end(self) -> int:
        """Wait for the end and read the rest."""
        deadline = time.monotonic() + 30
        while self.child.poll() is None and time.monotonic() < deadline:
            self._read()
        while self._read():
            pass
        return self.child.wait(1)

    def close(self) -> None:
        """Kill what still runs."""
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        os.close(self._master)


Open = Callable[..., Terminal]


@pytest.fixture
def on_a_terminal(tmp_path: Path) -> Iterator[Open]:
    """Start commands on terminals; all are ended."""
    opened: list[Terminal] = []

    def start(*arguments: str) -> Terminal:
        opened.append(Terminal([*arguments], {"EUDORA_HOME": str(tmp_path)}))
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.close()


def walk(terminal: Terminal, script: tuple[object, ...]) -> list[str]:
    """Answer the questions of a new module by *script*; return the shares that were shown."""
    rehearsal = Screen()
    lead(new_module(SAY, now=datetime(2026, 3, 1, tzinfo=UTC), random_octets=os.urandom), script, rehearsal)
    for question, line in zip(rehearsal.questions, script, strict=True):
        terminal.wait_for(question.text)
        terminal.type(GROUPS.findall(terminal.shown)[-1].replace("\n", " ") if line is SHARE else str(line))
    assert terminal.end() == 0, terminal.shown
    return [" ".join(found.split()) for found in GROUPS.findall(terminal.shown)]


def secrets_of(keys: ModuleKeys, kek: Kek, shares: list[str]) -> list[bytes]:
    """Return every secret of a module, as octets."""
    assert keys.key_load_key is not None
    assert keys.audit_key is not None
    octets = [each.key.reveal() for each in keys.vending.values()] + [each.key.reveal() for each in keys.mac.values()]
    octets += [each.selection_secret.reveal() for each in keys.vending.values()]
    octets += [kek.key.reveal(), keys.key_load_key.reveal(), keys.audit_key.reveal()]
    octets += [read_share(Secret(share)).value.reveal() for share in shares]
    octets += [bytes.fromhex(component) for component in KEY_20]
    return octets


def traces(secrets: list[bytes], content: bytes) -> list[bytes]:
    """Return which of *secrets* stand in *content*: raw, in hexadecimal of either case, in groups, or in base64."""
    found = []
    packed = b"".join(content.split())
    for secret in secrets:
        # Of base64 the middle: its ends depend on what stands beside.
        middles = [base64.b64encode(bytes(shift) + secret)[4:-4] for shift in range(3)]
        forms = [secret, secret.hex().encode(), secret.hex().upper().encode(), *middles]
        if any(form in content or form in packed for form in forms):
            found.append(secret)
    return found


def test_the_search_finds_what_it_looks_for() -> None:
    """Each way in which a key could stand in a file is found by `traces`."""
    secret = os.urandom(20)
    grouped = " ".join(secret.hex().upper()[at : at + 4] for at in range(0, 40, 4)).encode()
    for written in (secret, secret.hex().encode(), grouped, base64.b64encode(b"x" + secret + b"yz")):
        assert traces([secret], b"before " + written + b" behind")
    assert not traces([secret], os.urandom(200))


def test_from_the_ceremony_to_the_first_token(
    on_a_terminal: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three custodians, two of them at the start; a token, a MAC, and no secret in any file, argument, environment or log."""
    directory = tmp_path / "security-module"
    ceremony = on_a_terminal("ceremony")
    shares = walk(ceremony, SCRIPT)
    header = read_header(read_store(Layout(directory).store))
    kek = lead(unseal(SAY, header), (shares[0], shares[2]))
    keys = open_store(read_store(Layout(directory).store), kek)
    assert keys.vending[21].kcv == KCV_20
    assert keys.module_id in next(directory.glob("protocol-*.txt")).read_text()
    secrets = secrets_of(keys, kek, shares)
    # On the screen there were the shares, each between two clearings, and nothing else that is secret.
    assert len(traces(secrets, ceremony.shown.encode())) == 3
    assert ceremony.shown.count("\x1b[2J\x1b[3J\x1b[H") >= 8

    monkeypatch.setattr("cli.security_module.harden", lambda: None)  # Not this process.
    refused = CliRunner().invoke(security_module, ["show", "--directory", str(directory)])
    assert "needs a terminal" in refused.output
    module = on_a_terminal("run", "--unseal", "--listen", "127.0.0.1:0", "--run-file", str(tmp_path / "run.json"))
    for share in (shares[2], shares[0]):
        module.wait_for("44 dígitos (no se ven): ")
        module.type(share)
    module.wait_for("module.listening")
    _mint_and_mac(directory, json.loads((tmp_path / "run.json").read_text()), keys)
    process = Path(f"/proc/{module.child.pid}")
    core = next(line for line in (process / "limits").read_text().splitlines() if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"]
    for content in (process / "cmdline", process / "environ"):
        assert not traces(secrets, content.read_bytes())
    module.child.send_signal(signal.SIGTERM)
    assert module.end() == 0
    assert not traces(secrets, module.shown.encode())
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"keys.sealed", "mint.sqlite3"} <= {path.name for path in files}
    assert [path.name for path in files if traces(secrets, path.read_bytes())] == []


def _mint_and_mac(directory: Path, address: dict[str, object], keys: ModuleKeys) -> None:
    """Sell a token and make a MAC over the module's own link."""
    process = ModuleProcess.__new__(ModuleProcess)  # Its TLS, without starting another process.
    process.directory = directory
    process.port = int(str(address["port"]))
    with ExitStack() as stack:
        link = process.connect(stack, Layout(directory).client("switch"))

        def ask(request: Request) -> Reply:
            return link.ask(request)

        identity = ask(Identify())
        assert isinstance(identity, IdentifyReply)
        assert identity.check_values == keys.check_values()
        minted = ask(replace(a_mint(1), register_id=21, pan=PAN))
        assert isinstance(minted, MintReply)
        key = MacKey(register_id=30, scheme=MacScheme.AES_CMAC, diversifier="T0000001")
        mac = ask(GenerateMac(key=key, data=b"data"))
        assert isinstance(mac, MacReply)


def test_ctrl_c_leaves_nothing(on_a_terminal: Open, tmp_path: Path) -> None:
    """Ended in the middle, with a key entered already: no directory, no draft, a cleared screen and one sentence."""
    terminal = on_a_terminal("ceremony")
    for text, line in zip(("levanta el acta? ", "hay? ", "módulo? ", "custodio 1: "), NEW_MODULE[:4], strict=True):
        terminal.wait_for(text)
        terminal.type(line)
    terminal.wait_for("custodio 2: ")
    terminal.interrupt("nada cambió")
    assert terminal.end() == 1
    assert "nada cambió" in terminal.shown.rpartition("\x1b[H")[2]
    assert list(tmp_path.iterdir()) == []


def test_only_an_open_question_echoes(on_a_terminal: Open) -> None:
    """What is typed ahead, at a pause or at a secret question does not stand on the screen; an ordinary answer does."""
    terminal = on_a_terminal("ceremony")
    for text, line in zip(("acta? ", "hay? ", "módulo? "), ("Olga", "2", "2"), strict=True):
        terminal.wait_for(text)
        terminal.type(line)
    for text, line in (("custodio 1: ", "Ana"), ("custodio 2: ", "Beto"), ("> ", "0"), ("SELLAR: ", WORD)):
        terminal.wait_for(text)
        terminal.type(line)
    terminal.wait_for("esté solo. ")
    terminal.type("typed at a pause")
    terminal.wait_for("se borra. ")
    terminal.type("1234 5678")
    terminal.wait_for("(no se ve): ")
    terminal.type("a wrong share")
    terminal.wait_for("se borra. ")
    terminal.interrupt("nada cambió")
    assert terminal.end() == 1
    assert "Olga" in terminal.shown
    for hidden in ("typed at a pause", "1234 5678", "a wrong share"):
        assert hidden not in terminal.shown


def test_a_hardened_process_cannot_be_dumped() -> None:
    """Asked of the kernel: neither a core nor a debugger of the same user."""
    program = (
        "import ctypes, resource; from security_module.hardening import harden; harden();"
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE))"
    )
    assert hasattr(ctypes.CDLL(None), "prctl")
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "0 (0, 0)"


def test_fingerprints_do_not_depend_on_the_module(keys: ModuleKeys) -> None:
    """The same registers in another order and under another id give the same fingerprint."""
    turned = ModuleKeys(
        module_id="eudora-0", vending=dict(reversed([*keys.vending.items()])), mac=keys.mac, clients={}, senders={}
    )
    assert fingerprint(turned) == fingerprint(keys)
