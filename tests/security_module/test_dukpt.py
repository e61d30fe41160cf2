"""DUKPT against published vectors, in the module and in a terminal, and what the module does not do."""

from pathlib import Path
from typing import Any

import pytest
from pydukpt import derive_ipek, derive_key

from messages.dukpt import KeysExhausted, derivation_key, initial_key, message_keys, next_ksn
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
from security_module.dukpt import DukptMacs
from security_module.macs import MacBook, MacRefused
from security_module.registers import MacRegister
from security_module.session_keys import SessionKeys
from vending.ports import MacMismatch
from vending.secret import Secret

BASE_KEY = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
INITIAL_KSN = bytes.fromhex("FFFF9876543210E00000")
INITIAL_KEY = "6ac292faa1315b4d858ab3a3d7d5933a"
REGISTER, AES, OTHER = 16, 17, 12


def _register(register_id: int, scheme: str = MacScheme.X9_19, **more: bool) -> MacRegister:
    values: dict[str, Any] = {"is_diversified": False, "is_test": True, **more}
    return MacRegister(register_id=register_id, scheme=scheme, key=Secret(BASE_KEY), **values)


REGISTERS = {
    REGISTER: _register(REGISTER, is_dukpt=True),
    AES: _register(AES, MacScheme.AES_CMAC, is_dukpt=True),
    OTHER: _register(OTHER),
}


def _key(ksn: bytes | str, register_id: int = REGISTER, scheme: str = MacScheme.X9_19) -> MacKey:
    octets = bytes.fromhex(ksn) if isinstance(ksn, str) else ksn
    return MacKey(register_id=register_id, scheme=scheme, diversifier="", ksn=octets)


def test_the_initial_key_is_the_published_one() -> None:
    """ANSI X9.24-1:2009, annex A.4: base derivation key 0123...3210, KSN FFFF9876543210E00000."""
    assert initial_key(Secret(BASE_KEY), INITIAL_KSN).reveal().hex() == INITIAL_KEY
    assert initial_key(Secret(BASE_KEY), next_ksn(INITIAL_KSN)).reveal().hex() == INITIAL_KEY


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
    """The MAC keys of the first message are its key but for two octets, by table A-1 of the annex."""
    keys = message_keys(Secret(bytes.fromhex(INITIAL_KEY)), bytes.fromhex("FFFF9876543210E00001"))
    assert keys.request.reveal().hex() == "042666b4918430a368de9628d03984c9"
    assert keys.response.reveal().hex() == "042666b46e84cfa368de96282f397bc9"


def test_counters_skip_those_with_more_than_ten_ones_and_end() -> None:
    """As the standard has it: so no key is derived by more than ten steps, and a device has some million messages."""
    assert next_ksn(bytes.fromhex("FFFF9876543210E007FE")).hex().upper() == "FFFF9876543210E00800"
    with pytest.raises(KeysExhausted):
        next_ksn(bytes.fromhex("FFFF9876543210FFF800"))


AES_BASE_KEY = Secret(bytes.fromhex("FEDCBA9876543210F1F1F1F1F1F1F1F1"))
AES_DEVICE = "1234567890123456"


@pytest.mark.parametrize(
    ("counter", "derivation", "generation", "verification"),
    [
        (1, "4F21B565BAD9835E112B6465635EAE44", "A2DC23DE6FDE0824A2BC321E08E4B8B7", "DBB463945B286C07CD3AD82EE96FD9C9"),
        (2, "2F34D68DE10F68D38091A73B9E7C437C", "484C3B06E8562704528CD5B46FB12FB6", None),
        (3, "031504E530365CF81264238540518318", "A5DF7D9D800CA769766F0C77CA4E6E6C", None),
        (4, "0EEFC7ADA628BA68878DA9165A8A1887", "E6E4679647D8A9057C1FC15537CB4C4E", None),
        (8, "718EE6CF0B27E53D5F7AF99C4D8146A2", "6FD572E5D59E618875F193484F9178FB", None),
        (0xFFFE4000, "396C2C7CA1EA701C03B86B7D41F0C562", None, None),
        (0xFFFE8000, "0387625F189B58AE03EF0E8CCA41105E", None, None),
        (0xFFFF0000, "F6BA59389BD14A9855BE9727E7C52E3C", None, None),
    ],
)
def test_the_aes_keys_are_the_published_ones(
    counter: int, derivation: str, generation: str | None, verification: str | None
) -> None:
    """Supplement to ANSI X9.24-3:2017, test vectors of 2018-01-29: AES-128 from an AES-128 base key, KSN 1234567890123456 and the counter."""
    ksn = bytes.fromhex(f"{AES_DEVICE}{counter:08X}")
    device = initial_key(AES_BASE_KEY, ksn)
    assert device.reveal().hex().upper() == "1273671EA26AC29AFA4D1084127652A1"
    assert derivation_key(device, ksn).reveal().hex().upper() == derivation
    keys = message_keys(device, ksn)
    assert keys.request.reveal().hex().upper() == (generation or keys.request.reveal().hex().upper())
    assert keys.response.reveal().hex().upper() == (verification or keys.response.reveal().hex().upper())


def test_aes_counters_have_sixteen_ones_at_most() -> None:
    """The last one of the vectors is the last one of a device."""
    before = bytes.fromhex(f"{AES_DEVICE}FFFE8000")
    assert next_ksn(before).hex().upper() == f"{AES_DEVICE}FFFF0000"
    with pytest.raises(KeysExhausted):
        next_ksn(next_ksn(before))
    assert next_ksn(bytes.fromhex(f"{AES_DEVICE}0000FFFF")).hex().upper() == f"{AES_DEVICE}00010000"


@pytest.mark.parametrize(("register", "ksn"), [(REGISTER, INITIAL_KSN), (AES, bytes.fromhex(f"{AES_DEVICE}00000000"))])
def test_module_and_terminal_agree_and_a_message_is_not_its_answer(tmp_path: Path, register: int, ksn: bytes) -> None:
    """Request one way, answer the other way, in two modules; one played back as the other is wrong; each message has a key of its own."""
    scheme = REGISTERS[register].scheme
    terminal = DukptSigner.create(tmp_path / "t.json", initial_key(Secret(BASE_KEY), ksn), ksn)
    macs: list[bytes] = []
    for counter in range(1, 40):
        ksn = terminal.advance()
        assert int.from_bytes(ksn, "big") & 0xFFFF == counter
        mac = terminal.sign(b"the same")
        assert DukptMacs(REGISTERS).is_right(_key(ksn, register, scheme), b"the same", mac)
        answer = DukptMacs(REGISTERS).generate(_key(ksn, register, scheme), b"the same")
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
        (_key("FFFF9876543210E00001", AES, MacScheme.AES_CMAC), Status.KEY_INVALID),
        (_key(f"{AES_DEVICE}0001FFFF", AES, MacScheme.AES_CMAC), Status.KEY_INVALID),
    ],
    ids=["counter 0", "eleven ones", "no register", "no base key", "another scheme", "of TDES", "seventeen ones"],
)
def test_what_the_module_refuses(key: MacKey, status: Status) -> None:
    """Counters that no device has, and registers that are no base derivation key."""
    with pytest.raises(MacRefused) as refused:
        DukptMacs(REGISTERS).generate(key, b"x")
    assert refused.value.status is status


def test_a_base_derivation_key_signs_nothing_itself() -> None:
    """Neither a message nor the end of a session key; and it is nothing else."""
    plain = MacKey(register_id=REGISTER, scheme=MacScheme.X9_19, diversifier="")
    with pytest.raises(MacRefused):
        MacBook(REGISTERS).generate(plain, b"x")
    zone = {**REGISTERS, 14: _register(14, is_zone=True)}
    with pytest.raises(MacRefused):
        SessionKeys(zone, lambda: 0).retire(14, plain, 60)
    for kind in ("is_zone", "is_diversified"):
        with pytest.raises(ValueError, match="base derivation key"):
            _register(20, MacScheme.X9_19, **{"is_dukpt": True, kind: True})


def test_a_key_serial_number_goes_over_the_line() -> None:
    """In the place of a terminal; of any other length it cannot be said."""
    key, aes = _key("FFFF9876543210E00001"), _key(f"{AES_DEVICE}00000001", AES, MacScheme.AES_CMAC)
    for request in (GenerateMac(key=aes, data=b"data"), VerifyMac(key=key, data=b"data", mac=bytes(8))):
        (body,) = FrameReader().receive(encode_request(9, request))
        assert decode_request(body) == (9, request)
    with pytest.raises(LocalFieldError):
        encode_request(9, GenerateMac(key=_key("FFFF"), data=b"data"))
