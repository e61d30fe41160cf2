"""Session keys in the security module: made, taken, retired; nothing is kept, and every module of a zone says the same."""

from typing import Any

import pytest

from messages.key_wrapping import check_value, unwrap, wrap
from messages.security_module import (
    FrameReader,
    GenerateMac,
    KeyRetired,
    MacKey,
    MacScheme,
    MakeSessionKey,
    RetireKey,
    SessionKeyMade,
    Status,
    VerifyMac,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
)
from security_module.macs import MacBook, MacRefused
from security_module.registers import MacRegister
from security_module.session_keys import SessionKeys
from vending.secret import Secret

TDES_ZONE, AES_ZONE, STATIC, TERMINALS = 14, 15, 12, 10
ZONE_KEY = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
STATIC_KEY = bytes.fromhex("1032547698BADCFE0123456789ABCDEF")


def _register(register_id: int, scheme: str, key: bytes, **more: bool) -> MacRegister:
    values: dict[str, Any] = {"is_diversified": False, "is_test": True, **more}
    return MacRegister(register_id=register_id, scheme=scheme, key=Secret(key), **values)


REGISTERS = {
    TDES_ZONE: _register(TDES_ZONE, MacScheme.X9_19, ZONE_KEY, is_zone=True),
    AES_ZONE: _register(AES_ZONE, MacScheme.AES_CMAC, ZONE_KEY, is_zone=True),
    STATIC: _register(STATIC, MacScheme.X9_19, STATIC_KEY),
    TERMINALS: _register(TERMINALS, MacScheme.X9_19, STATIC_KEY, is_diversified=True),
}
ZONES = [(TDES_ZONE, MacScheme.X9_19), (AES_ZONE, MacScheme.AES_CMAC)]


class Clock:
    """The module's clock."""

    milliseconds = 1_800_000_000_000

    def __call__(self) -> int:
        """Unix time."""
        return self.milliseconds


def _sessions(clock: Clock | None = None, acts: list[tuple[str, dict[str, Any]]] | None = None) -> SessionKeys:
    kept = acts if acts is not None else []
    return SessionKeys(REGISTERS, clock or Clock(), lambda act, **details: kept.append((act, details)))


def _named(register_id: int, scheme: str, token: bytes) -> MacKey:
    return MacKey(register_id=register_id, scheme=scheme, diversifier="", session=token)


@pytest.mark.parametrize(("zone", "scheme"), ZONES)
def test_every_module_and_every_start_gives_the_same_key_of_a_generation(zone: int, scheme: str) -> None:
    """So a killed module, a lost answer and a failover change nothing; another generation is another key."""
    first, again, elsewhere = _sessions().make(zone, 1), _sessions().make(zone, 1), _sessions()
    assert first == again == elsewhere.make(zone, 1)
    assert len({elsewhere.make(zone, generation).kcv for generation in range(1, 9)}) == 8
    key = unwrap(scheme, Secret(ZONE_KEY), first.wrapped, first.kcv)
    mac = elsewhere.generate(_named(zone, scheme, first.token), b"data")
    partner = MacBook({1: _register(1, scheme, key.reveal())})
    assert partner.generate(MacKey(register_id=1, scheme=scheme, diversifier=""), b"data") == mac
    assert elsewhere.is_right(_named(zone, scheme, first.token), b"data", mac)
    assert not elsewhere.is_right(_named(zone, scheme, first.token), b"date", mac)


@pytest.mark.parametrize(("zone", "scheme"), ZONES)
def test_a_partners_key_is_taken_only_with_its_check_value(zone: int, scheme: str) -> None:
    """Wrong check values are refused, and recorded ever more seldom."""
    acts: list[tuple[str, dict[str, Any]]] = []
    sessions = _sessions(acts=acts)
    key = Secret(bytes(range(16)))
    wrapped, kcv = wrap(scheme, Secret(ZONE_KEY), key), check_value(scheme, key.reveal())
    taken = sessions.take(zone, 5, wrapped, kcv)
    assert (taken.kcv, taken.wrapped) == (kcv, b"")
    assert sessions.take(zone, 5, wrapped, kcv) == taken
    for _ in range(9):
        with pytest.raises(MacRefused) as refused:
            sessions.take(zone, 5, wrapped, "000000")
        assert refused.value.status is Status.KEY_INVALID
    assert [act for act, _ in acts] == ["session_key_taken"] + ["session_key_refused"] * 4
    assert key.reveal().hex() not in repr((acts, taken, sessions.__dict__))


def test_a_retired_key_ends_by_the_modules_clock() -> None:
    """The last millisecond of the overlap is honoured and the next one is not; a token without an end goes on."""
    clock = Clock()
    sessions = _sessions(clock)
    made = sessions.make(TDES_ZONE, 1)
    key = _named(TDES_ZONE, MacScheme.X9_19, made.token)
    retired = _named(TDES_ZONE, MacScheme.X9_19, sessions.retire(TDES_ZONE, key, 60).token)
    mac = sessions.generate(key, b"x")
    clock.milliseconds += 60_000
    assert sessions.is_right(retired, b"x", mac)
    clock.milliseconds += 1
    for each in (sessions, _sessions(clock)):
        with pytest.raises(MacRefused) as refused:
            each.is_right(retired, b"x", mac)
        assert refused.value.status is Status.KEY_RETIRED
    assert sessions.is_right(key, b"x", mac)


def test_the_key_of_the_register_is_retired_like_any_other() -> None:
    """What was right under it is right under its token until the overlap is over."""
    clock, static = Clock(), MacKey(register_id=STATIC, scheme=MacScheme.X9_19, diversifier="")
    sessions = _sessions(clock)
    token = sessions.retire(TDES_ZONE, static, 60).token
    mac = MacBook(REGISTERS).generate(static, b"x")
    assert sessions.is_right(_named(TDES_ZONE, MacScheme.X9_19, token), b"x", mac)


def test_what_a_zone_does_not_do() -> None:
    """No MAC under a zone key itself, no zone made of another register, no key of single terminals, no changed or strange token."""
    sessions = _sessions()
    made = sessions.make(TDES_ZONE, 1)
    with pytest.raises(MacRefused) as refused:
        MacBook(REGISTERS).generate(MacKey(register_id=TDES_ZONE, scheme=MacScheme.X9_19, diversifier=""), b"x")
    assert refused.value.status is Status.REGISTER_CONTRADICTION
    terminals = MacKey(register_id=TERMINALS, scheme=MacScheme.X9_19, diversifier="")
    for wrong, status in (
        (lambda: sessions.make(STATIC, 1), Status.REGISTER_CONTRADICTION),
        (lambda: sessions.make(99, 1), Status.UNKNOWN_REGISTER),
        (lambda: sessions.retire(TDES_ZONE, terminals, 1), Status.REGISTER_CONTRADICTION),
        (lambda: sessions.generate(_named(AES_ZONE, MacScheme.AES_CMAC, made.token), b"x"), Status.KEY_INVALID),
        (lambda: sessions.generate(_named(TDES_ZONE, MacScheme.X9_19, b"short"), b"x"), Status.KEY_INVALID),
        (
            lambda: sessions.generate(_named(TDES_ZONE, MacScheme.AES_CMAC, made.token), b"x"),
            Status.REGISTER_CONTRADICTION,
        ),
    ):
        with pytest.raises(MacRefused) as refused:
            wrong()
        assert refused.value.status is status
    for at in range(len(made.token)):
        changed = made.token[:at] + bytes((made.token[at] ^ 1,)) + made.token[at + 1 :]
        with pytest.raises(MacRefused):
            sessions.generate(_named(TDES_ZONE, MacScheme.X9_19, changed), b"x")


def test_requests_and_replies_go_over_the_line_and_back() -> None:
    """A session key is named by its token, in the place of a terminal."""
    made = _sessions().make(AES_ZONE, 7)
    key = _named(AES_ZONE, MacScheme.AES_CMAC, made.token)
    for request in (
        MakeSessionKey(zone_register_id=AES_ZONE, generation=7),
        RetireKey(zone_register_id=AES_ZONE, key=key, seconds=600),
        GenerateMac(key=key, data=b"data"),
        VerifyMac(key=key, data=b"data", mac=bytes(8)),
    ):
        (body,) = FrameReader().receive(encode_request(9, request))
        assert decode_request(body) == (9, request)
    for reply in (SessionKeyMade(key=made), KeyRetired(key=_sessions().retire(AES_ZONE, key, 1))):
        (body,) = FrameReader().receive(encode_reply(9, reply))
        assert decode_reply(body) == (9, reply)
