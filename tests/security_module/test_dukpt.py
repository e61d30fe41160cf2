"""TDES DUKPT against published vectors, in the module and in a terminal, and what the module does not do."""

from pathlib import Path
from typing import Any

import pytest
from pydukpt import KSNExhaustedError, derive_ipek, derive_key, mac_request_key, next_ksn

from messages.security_module import (
    FrameReader,
    GenerateMac,
    LocalFieldError,
    MacKey,
    MacScheme,
    Status,
    VerifyMac,
    decode_request,
    encode_request,
)
from pos.dukpt import DukptSigner
from security_module.dukpt import DukptMacs, derive_initial_key
from security_module.macs import MacBook, MacRefused
from security_module.registers import MacRegister
from security_module.session_keys import SessionKeys
from vending.ports import MacMismatch
from vending.secret import Secret

BASE_KEY = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
INITIAL_KSN = bytes.fromhex("FFFF9876543210E00000")
INITIAL_KEY = "6ac292faa1315b4d858ab3a3d7d5933a"
REGISTER, OTHER = 16, 12


def _register(register_id: int, scheme: str = MacScheme.X9_19, **more: bool) -> MacRegister:
    values: dict[str, Any] = {"is_diversified": False, "is_test": True, **more}
    return MacRegister(register_id=register_id, scheme=scheme, key=Secret(BASE_KEY), **values)


REGISTERS = {REGISTER: _register(REGISTER, is_dukpt=True), OTHER: _register(OTHER)}


def _key(ksn: bytes | str, register_id: int = REGISTER, scheme: str = MacScheme.X9_19) -> MacKey:
    octets = bytes.fromhex(ksn) if isinstance(ksn, str) else ksn
    return MacKey(register_id=register_id, scheme=scheme, diversifier="", ksn=octets)


def test_the_initial_key_is_the_published_one() -> None:
    """ANSI X9.24-1:2009, annex A.4: base derivation key 0123...3210, KSN FFFF9876543210E00000."""
    assert derive_initial_key(REGISTERS[REGISTER], INITIAL_KSN).reveal().hex() == INITIAL_KEY
    assert derive_initial_key(REGISTERS[REGISTER], next_ksn(INITIAL_KSN)).reveal().hex() == INITIAL_KEY


@pytest.mark.parametrize(
    ("ksn", "key"),
    [
        ("FFFF9876543210E00001", "042666b49184cfa368de9628d0397bc9"),
        ("FFFF9876543210E00002", "c46551cef9fd24b0aa9ad834130d3bc7"),
        ("FFFF9876543210E00003", "0df3d9422aca56e547676d07ad6badfa"),
    ],
)
def test_the_keys_of_the_first_messages_are_the_published_ones(ksn: str, key: str) -> None:
    """The same annex, its table of the first transactions of that device."""
    assert derive_key(derive_ipek(BASE_KEY, INITIAL_KSN), bytes.fromhex(ksn)).hex() == key


def test_the_keys_of_a_message_have_the_published_use() -> None:
    """The PIN key of the first message is its key but for octets 8 and 16; the MAC keys for others, by table A-1 of the annex."""
    key = bytes.fromhex("042666b49184cfa368de9628d0397bc9")
    assert mac_request_key(key).hex() == "042666b4918430a368de9628d03984c9"


def test_counters_skip_those_with_more_than_ten_ones_and_end() -> None:
    """As the standard has it: so no key is derived by more than ten steps, and a device has some million messages."""
    assert next_ksn(bytes.fromhex("FFFF9876543210E007FE")).hex().upper() == "FFFF9876543210E00800"
    with pytest.raises(KSNExhaustedError):
        next_ksn(bytes.fromhex("FFFF9876543210FFF800"))


def test_module_and_terminal_agree_and_a_message_is_not_its_answer(tmp_path: Path) -> None:
    """Request one way, answer the other way, in two modules; one played back as the other is wrong; each message has a key of its own."""
    initial_key = derive_initial_key(REGISTERS[REGISTER], INITIAL_KSN)
    terminal = DukptSigner.create(tmp_path / "t.json", initial_key, INITIAL_KSN)
    macs: list[bytes] = []
    for counter in range(1, 40):
        ksn = terminal.advance()
        assert int.from_bytes(ksn, "big") & 0x1FFFFF == counter
        mac = terminal.sign(b"the same")
        assert DukptMacs(REGISTERS).is_right(_key(ksn), b"the same", mac)
        answer = DukptMacs(REGISTERS).generate(_key(ksn), b"the same")
        terminal.verify(b"the same", answer)
        assert answer != mac
        with pytest.raises(MacMismatch):
            terminal.verify(b"the same", mac)
        macs += [mac, answer]
    assert len(set(macs)) == len(macs)


def test_a_terminal_never_uses_a_counter_twice(tmp_path: Path) -> None:
    """It counts on disk before it sends, so a power cut costs a counter and no more; one MAC belongs to one counter."""
    path = tmp_path / "t.json"
    terminal = DukptSigner.create(path, Secret(bytes.fromhex(INITIAL_KEY)), INITIAL_KSN)
    first = terminal.advance()
    assert DukptSigner.open(path).advance() == next_ksn(first)
    terminal.sign(b"x")
    with pytest.raises(AssertionError):
        terminal.sign(b"y")
    assert path.stat().st_mode & 0o777 == 0o600
    assert INITIAL_KEY not in repr(vars(terminal))


def test_a_late_answer_to_the_first_copy_is_still_verified(tmp_path: Path) -> None:
    """A repeat has a key of its own; whichever answer comes is good."""
    terminal = DukptSigner.create(tmp_path / "t.json", Secret(bytes.fromhex(INITIAL_KEY)), INITIAL_KSN)
    first = terminal.advance()
    terminal.advance()
    terminal.verify(b"answer", DukptMacs(REGISTERS).generate(_key(first), b"answer"))


@pytest.mark.parametrize(
    ("key", "status"),
    [
        (_key(INITIAL_KSN), Status.KEY_INVALID),
        (_key("FFFF9876543210E007FF"), Status.KEY_INVALID),
        (_key("FFFF9876543210E00001", register_id=99), Status.UNKNOWN_REGISTER),
        (_key("FFFF9876543210E00001", register_id=OTHER), Status.REGISTER_CONTRADICTION),
        (_key("FFFF9876543210E00001", scheme=MacScheme.AES_CMAC), Status.REGISTER_CONTRADICTION),
    ],
    ids=["counter 0", "eleven ones", "no register", "no base key", "another scheme"],
)
def test_what_the_module_refuses(key: MacKey, status: Status) -> None:
    """Counters that no device has, and registers that are no base derivation key."""
    with pytest.raises(MacRefused) as refused:
        DukptMacs(REGISTERS).generate(key, b"x")
    assert refused.value.status is status


def test_a_base_derivation_key_signs_nothing_itself() -> None:
    """Neither a message nor the end of a session key; and it is of TDES and not of single terminals."""
    plain = MacKey(register_id=REGISTER, scheme=MacScheme.X9_19, diversifier="")
    with pytest.raises(MacRefused):
        MacBook(REGISTERS).generate(plain, b"x")
    zone = {**REGISTERS, 14: _register(14, is_zone=True)}
    with pytest.raises(MacRefused):
        SessionKeys(zone, lambda: 0).retire(14, plain, 60)
    for kind in ("is_zone", "is_diversified"):
        with pytest.raises(ValueError, match="base derivation key"):
            _register(20, MacScheme.X9_19, **{"is_dukpt": True, kind: True})
    with pytest.raises(ValueError, match="base derivation key"):
        _register(20, MacScheme.AES_CMAC, is_dukpt=True)


def test_a_key_serial_number_goes_over_the_line() -> None:
    """In the place of a terminal; of any other length it cannot be said."""
    key = _key("FFFF9876543210E00001")
    for request in (GenerateMac(key=key, data=b"data"), VerifyMac(key=key, data=b"data", mac=bytes(8))):
        (body,) = FrameReader().receive(encode_request(9, request))
        assert decode_request(body) == (9, request)
    with pytest.raises(LocalFieldError):
        encode_request(9, GenerateMac(key=_key("FFFF"), data=b"data"))
