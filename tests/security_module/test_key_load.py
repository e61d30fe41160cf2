"""Key load files: the documented example, and everything that is not taken. A file is taken whole or not at all."""

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from security_module.ceremony_dialogue import take_key_load
from security_module.ceremony_texts import texts_in
from security_module.custody import Opened
from security_module.dialogue import Aborted
from security_module.key_load import KEY_LOAD_OCTETS_MAX, KeyLoadError, module_public_key, open_key_load, seal_key_load
from security_module.registers import ModuleKeys, Sender
from security_module.sealed_store import kek_from_passphrase
from tests.security_module.people import WORD, Screen, lead
from vending.secret import Secret

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DOCUMENT = (Path(__file__).parents[2] / "docs" / "wire" / "key-load.md").read_text(encoding="utf-8")
CONTENT: dict[str, Any] = json.loads(re.findall(r"```json\n(.*?)```", DOCUMENT, re.DOTALL)[0])
FILE = bytes.fromhex(re.sub(r"#.*|\s", "", re.findall(r"```\n(# magic.*?)```", DOCUMENT, re.DOTALL)[0]))
SENDER = Secret(b"\x11" * 32)
SENDER_KEY = Ed25519PrivateKey.from_private_bytes(SENDER.reveal()).public_key().public_bytes_raw().hex()
SAY = texts_in("es")


@pytest.fixture
def module(keys: ModuleKeys) -> ModuleKeys:
    """The module of the example: its key pair, its pinned sender, its register 20."""
    old = replace(keys.vending[1], register_id=20)
    pinned = Sender(name="KMC", public_key=SENDER_KEY, last_serial=0)
    return replace(keys, vending={20: old}, mac={}, senders={SENDER_KEY: pinned}, key_load_key=Secret(b"\x22" * 32))


def take(file: bytes, module: ModuleKeys) -> tuple[ModuleKeys, Sender]:
    return open_key_load(file, module, now=NOW, random_octets=os.urandom)


def sealed(content: Any, module: ModuleKeys, sender: Secret[bytes] = SENDER) -> bytes:
    return seal_key_load(
        content,
        sender=sender,
        recipient=module_public_key(module),
        ephemeral=Secret(b"\x33" * 32),
        nonce=b"\x44" * 12,
    )


def test_the_documented_example_is_the_file(module: ModuleKeys) -> None:
    """The octets of the document are what its JSON is sealed to, and they give the registers that it describes."""
    assert sealed(CONTENT, module) == FILE
    taken, sender = take(FILE, module)
    new, old, mac = taken.vending[21], taken.vending[20], taken.mac[30]
    assert (new.key.reveal().hex(), new.kcv) == (CONTENT["vending"][0]["key"], CONTENT["vending"][0]["kcv"])
    assert (new.key_revision_number, new.units_limit_tenths, new.is_test) == (2, 1_000_000, False)
    assert (new.replaces, old.issued_until) == (frozenset({20}), datetime(2027, 1, 31, tzinfo=UTC))
    assert (mac.kcv, mac.is_diversified, mac.is_test) == (CONTENT["mac"][0]["kcv"], True, False)
    assert (sender.last_serial, taken.senders[SENDER_KEY]) == (1, sender)


def test_an_old_file_is_not_taken_again(module: ModuleKeys) -> None:
    """Replayed, or with a lower number: refused, also after its registers are gone."""
    taken, _ = take(FILE, module)
    with pytest.raises(KeyLoadError, match="not newer"):
        take(FILE, replace(taken, vending=module.vending, mac={}))


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 10_000), flip=st.integers(1, 255), cut=st.integers(0, 10_000))
def test_a_changed_octet_is_found(at: int, flip: int, cut: int) -> None:
    """Whatever is changed or cut off, nothing is taken, in words."""
    pinned = Sender(name="KMC", public_key=SENDER_KEY, last_serial=0)
    empty = ModuleKeys(
        module_id="eudora-0",
        vending={},
        mac={},
        clients={},
        senders={SENDER_KEY: pinned},
        key_load_key=Secret(b"\x22" * 32),
    )
    damaged = bytearray(FILE)
    damaged[at % len(FILE)] ^= flip
    for broken in (bytes(damaged), FILE[: cut % len(FILE)], FILE + b"\x00"):
        with pytest.raises(KeyLoadError):
            take(broken, empty)


def test_who_sent_it_and_to_whom(module: ModuleKeys) -> None:
    """A sender who is not pinned, a file for another module, a module without a key pair, an endless file."""
    stranger = Secret(b"\x55" * 32)
    with pytest.raises(KeyLoadError, match="not pinned"):
        take(sealed(CONTENT, module, stranger), module)
    other = replace(module, key_load_key=Secret(b"\x66" * 32))
    with pytest.raises(KeyLoadError, match="another module"):
        take(FILE, other)
    with pytest.raises(KeyLoadError, match="no key for key load files"):
        take(FILE, replace(module, key_load_key=None))
    with pytest.raises(KeyLoadError, match="not a key load file"):
        take(bytes(KEY_LOAD_OCTETS_MAX + 1), module)


def _vending(**changed: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda content: {**content, "vending": [{**content["vending"][0], **changed}]}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_vending(kcv="000000"), "check value"),
        (_vending(key="00" * 20, kcv="b7f1d5"), "check value|weak"),
        (_vending(key="3e" * 19), "not as documented"),
        (_vending(register_id="20"), "taken"),
        (_vending(register_id="70000"), "out of range"),
        (_vending(key_revision_number="3"), "does not follow"),
        (_vending(supply_group_code="201458"), "not of supply group"),
        (_vending(replaces="99"), "not of supply group"),
        (_vending(old_issued_until="soon"), "not as documented"),
        (lambda content: {**content, "mac": [{"register_id": "31"}]}, "not as documented"),
        (lambda content: {**content, "vending": None}, "not as documented"),
        (lambda content: {"serial": "x"}, "not as documented"),
        (lambda content: [], "not as documented"),
    ],
)
def test_content_that_is_not_as_documented(
    change: Callable[[dict[str, Any]], Any], reason: str, module: ModuleKeys
) -> None:
    """Signed and encrypted rightly, and still refused; the words hold nothing of what was decrypted."""
    with pytest.raises(KeyLoadError, match=reason) as caught:
        take(sealed(change(CONTENT), module), module)
    error: BaseException | None = caught.value
    while error is not None:
        assert "3e3e" not in str(error)
        error = error.__cause__


def test_two_people_compare_the_check_values(module: ModuleKeys) -> None:
    """What is new is shown; one who does not confirm ends it; the record names file, sender and both people."""
    opened = Opened(keys=module, kek=kek_from_passphrase(Secret(b"correct horse battery"), os.urandom))
    loaded, sender = take(FILE, module)
    screen = Screen()
    script = ("Olga", "Ana", "s", "Beto", "s", WORD)
    outcome = lead(take_key_load(SAY, opened, loaded, sender, now=NOW), script, screen)
    assert outcome.opened.keys == loaded
    for wanted in ("Olga", "Ana, Beto", loaded.vending[21].kcv.upper(), loaded.mac[30].kcv.upper(), "KMC"):
        assert wanted in outcome.protocol
    assert "3e3e" not in "".join(screen.pages)
    with pytest.raises(Aborted):
        lead(take_key_load(SAY, opened, loaded, sender, now=NOW), ("Olga", "Ana", "s", "Beto", "n"))
