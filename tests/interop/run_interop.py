"""Other makers' programs against this switch, live: `make interop`. What they said is recorded for `make test`.

- ``iso8583sim`` (PyPI), in an environment of its own below ``var/interop``: builds, signs, sends and reads dialect ``recargas``.
- ``iso_8583`` (npm), likewise; it always writes both bitmaps and always reads both, so its network has ``both_bitmaps``.
- ``tshark`` (Debian package): its dissector reads every frame of docs/wire/recargas.md.

All of them know the 1987 field table only; for 1993 the registries that were searched had no client that packs element 12 with a year.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import text

from acquirers.widened import with_both_bitmaps
from cli import context
from cli.system import running_system
from messages.codec import RECARGAS
from messages.mac import MAC_FIELDS, MacForm, covered, splice_mac
from security_module.terminal_keys import export_terminal_key
from tests.messages.test_wire_document import KEY, octets_of, retail_mac
from tests.messages.test_wire_documents_in_characters import PAGES, SHOWN

SIMULATOR = ("iso8583sim==1.6.0", "cryptography")
"""Its MACs need the second one, which it does not ask for by itself."""
NPM = "iso_8583@2.6.7"
MISREAD = {"97"}
"""Messages of totals are left out: the simulator takes the signed amount for 17 octets in hex, and tshark counts 15 digits in 88 and 89."""

ROOT = Path(__file__).parents[2]
FIXTURES = Path(__file__).parent / "fixtures"
LENGTH_OCTETS = 2
TERMINAL = "R0000009"
REPEATS_MAX = 5
"""A busy machine may answer "in progress" first, and one that has just begun that there is no security module yet."""

TSHARK_OPTIONS = (
    "iso8583.len_endian:Big endian",
    "iso8583.charset:Digits represented as ASCII Characters",
    "iso8583.binencode:Bin data represented as Hex Ascii characters",
)


_PLAIN_METER = text("""
    SELECT m.meter_number FROM meter m JOIN account_holder h ON h.id = m.holder_id
    WHERE m.status = 'active' AND m.service = 1 AND h.name ~ '^[ -~]*$' AND h.address ~ '^[ -~]*$' ORDER BY m.id LIMIT 1
""")
"""The simulator reads ASCII and refuses a name with an accent."""


class Simulator:
    """A client of another maker as a process of its own."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.version = str(self._line()["version"])

    def ask(self, **question: Any) -> dict[str, Any]:
        """Ask it one thing."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self._line()

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


def iso8583sim(directory: Path) -> list[str]:
    """Install ``iso8583sim``; return the command of a client made of it."""
    python = directory / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *SIMULATOR], check=True)
    return [str(python), str(Path(__file__).with_name("simulator_client.py"))]


def npm_iso_8583(directory: Path) -> list[str]:
    """Install ``iso_8583``; return the command of a client made of it."""
    if not (directory / "node_modules").exists():
        directory.mkdir(parents=True, exist_ok=True)
        npm = [
            "npm",
            "install",
            "--silent",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--prefix",
            str(directory),
            NPM,
        ]
        subprocess.run(npm, check=True)
    return ["node", str(Path(__file__).with_name("npm_client.js")), str(directory / "node_modules")]


def documented(name: str) -> bytes:
    """Return one message of docs/wire/recargas.md."""
    return octets_of(PAGES["recargas"].blocks()[name])[LENGTH_OCTETS:]


def fields_of(octets: bytes) -> dict[str, str]:
    """Return what our own codec reads."""
    return {str(number): value for number, value in RECARGAS.decode(octets).fields.items()}


def is_plain(fields: Mapping[str, str]) -> bool:
    """Whether every value is ASCII: both programs read text as ASCII and stumble over the letters of Spanish."""
    return all(value.isascii() for value in fields.values())


def both_bitmaps(octets: bytes, key: str | None) -> bytes:
    """Return a message with both bitmaps, and its MAC made anew, for that covers them."""
    wide = with_both_bitmaps(octets, MacForm.HEX)
    if key is None or wide == octets:
        return wide
    return splice_mac(wide, retail_mac(covered(wide, MacForm.HEX)), MacForm.HEX)


def simulate(simulator: Simulator, *, is_wide: bool = False) -> dict[str, str]:
    """Let it build every request of the document, and read every answer; return what it built, by name."""
    built = {}
    for name in SHOWN:
        octets = documented(name)
        message, fields = RECARGAS.decode(octets), fields_of(octets)
        key = KEY.hex() if set(MAC_FIELDS) & message.fields.keys() else None
        if not is_plain(fields) or MISREAD & fields.keys():
            continue
        if is_wide:
            octets = both_bitmaps(octets, key)
            fields = fields_of(octets)  # its MAC is another
        told = simulator.ask(hex=octets.hex(), key=key)
        assert {number: value for number, value in told["fields"].items() if value} == fields, name
        assert key is None or told["is_mac_right"], name
        if message.is_request and message.mti[1] != "6":
            zeros = {str(number): "0" * 16 for number in MAC_FIELDS if number in message}
            built[name] = simulator.ask(mti=message.mti, fields={**fields, **zeros}, key=key)["hex"]
            assert built[name] == octets.hex(), name
    return built


def sell(simulator: Simulator, environment: Mapping[str, str]) -> None:
    """Let it echo and sell on a running switch."""
    with (
        tempfile.TemporaryDirectory(prefix="eudora-interop-") as home,
        running_system(Path(home), on_free_ports=True, terminals=1, environment=environment) as system,
    ):
        host, port = system.network_address("recargas")
        key = export_terminal_key(context.module_keys(), 10, TERMINAL).reveal().hex()
        with context.engine().connect() as connection:
            meter = connection.execute(_PLAIN_METER).scalar_one()
        who = {"7": "1124120000", "41": TERMINAL, "42": "PUNTO 000000001"}
        echo = simulator.ask(host=host, port=port, mti="0800", fields={**who, "11": "000001", "70": "301"})
        assert (echo["mti"], echo["fields"]["39"]) == ("0810", "00"), echo
        sale = {**who, "2": meter, "3": "500000", "4": "000002000000", "11": "000002", "49": "170", "64": "0" * 16}
        sold = simulator.ask(host=host, port=port, mti="0200", fields=sale, key=key)
        for _ in range(REPEATS_MAX):
            if sold["fields"]["39"] not in ("09", "91"):
                break
            sold = simulator.ask(host=host, port=port, mti="0201", fields=sale, key=key)
        assert (sold["mti"], sold["fields"]["39"], sold["is_mac_right"]) == ("0210", "00", True), sold
        assert len(sold["fields"]["62"]) % 20 == 0
        again = simulator.ask(host=host, port=port, mti="0201", fields=sale, key=key)
        assert again["hex"] == sold["hex"]
        wrong = simulator.ask(host=host, port=port, mti="0200", fields={**sale, "11": "000003"}, key="00" * 16)
        assert wrong["fields"]["39"] == "63", wrong


def dissect(frame: bytes) -> dict[str, str]:
    """Return the data elements that tshark reads in one frame."""
    dump = "".join(f"{at:06x} {frame[at : at + 16].hex(' ')}\n" for at in range(0, len(frame), 16))
    with tempfile.TemporaryDirectory() as directory:
        capture = str(Path(directory) / "one.pcap")
        subprocess.run(
            ["text2pcap", "-q", "-T", "7201,7201", "-", capture], input=dump, text=True, check=True, capture_output=True
        )
        options = [part for option in TSHARK_OPTIONS for part in ("-o", option)]
        read = ["tshark", "-r", capture, "-d", "tcp.port==7201,iso8583", *options, "-T", "json"]
        (packet,) = json.loads(subprocess.run(read, check=True, capture_output=True, text=True).stdout)
    found = packet["_source"]["layers"]["iso8583"]
    return {
        key.removeprefix("iso8583.bit"): value
        for key, value in found.items()
        if key.startswith("iso8583.bit") and "_" not in key
    }


def main() -> None:
    """Run everything; write what was said."""
    FIXTURES.mkdir(exist_ok=True)
    names = [name for name in SHOWN if is_plain(fields_of(documented(name)))]
    dissected = {name: dissect(octets_of(PAGES["recargas"].blocks()[name])) for name in names}
    dissected = {name: fields for name, fields in dissected.items() if not MISREAD & fields_of(documented(name)).keys()}
    for name, fields in dissected.items():
        assert fields == fields_of(documented(name)), name
    version = subprocess.run(["tshark", "--version"], check=True, capture_output=True, text=True).stdout.split()[2]
    _record("tshark", version.rstrip("."), dissected)
    _say(f"tshark {version} read {len(dissected)} frames as we do")
    _try("iso8583sim", iso8583sim(ROOT / "var" / "interop" / "iso8583sim"), is_wide=False)
    _try("iso_8583", npm_iso_8583(ROOT / "var" / "interop" / "npm"), is_wide=True)


def _try(program: str, command: Sequence[str], *, is_wide: bool) -> None:
    simulator = Simulator(command)
    try:
        built = simulate(simulator, is_wide=is_wide)
        _record(program, simulator.version, built)
        _say(f"{program} {simulator.version} built {len(built)} requests as we do")
        sell(simulator, {"EUDORA_ACQUIRERS__RECARGAS__BOTH_BITMAPS": "true"} if is_wide else {})
        _say(f"{program} {simulator.version} sold on a running switch")
    finally:
        simulator.close()


def _say(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


def _record(program: str, version: str, said: Mapping[str, Any]) -> None:
    record = {"program": program, "version": version, "said": said}
    path = FIXTURES / f"{program}.json"
    path.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
