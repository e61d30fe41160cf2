"""How a MAC key is named in the security module's protocol, and the commands that change session keys."""

import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from messages.dukpt import KSN_OCTETS
from messages.security_module_frame import (
    DIVERSIFIER_OCTETS_MAX,
    SESSION_TOKEN_OCTETS_MAX,
    WRAPPED_KEY_OCTETS_MAX,
    require,
)
from messages.security_module_shapes import (
    Command,
    KeyRetired,
    LocalFieldError,
    MakeSessionKey,
    Reply,
    Request,
    RetireKey,
    SessionKeyMade,
    SessionKeyTaken,
    TakeSessionKey,
)
from vending.ports import MacKey, MacScheme
from vending.session_key import GENERATION_MAX, SessionKey

_MAKE = struct.Struct(">HI")
_TAKE = struct.Struct(">HI3s")
_RETIRE = struct.Struct(">HIHBB")
_CHECK_VALUE_OCTETS = 3
MAC_KEYS_MAX = 20_000
"""Names of MAC keys kept as they were read, some 400 octets each: as many terminals as the module keeps keys of."""
OVERLAP_SECONDS_MAX = 7 * 24 * 3600
"""A key that is honoured for longer was never changed."""

_SCHEME_CODES = {MacScheme.X9_19: 1, MacScheme.AES_CMAC: 2, MacScheme.X9_9: 3}
_SCHEME_NAMES = {code: scheme for scheme, code in _SCHEME_CODES.items()}
_OF_SESSION = 0x10
"""Added to the code of a scheme: the name of the key is the token of a session key and not a terminal."""
_OF_DUKPT = 0x20
"""Likewise: it is a key serial number."""


def write_scheme(key: MacKey) -> int:
    """Return the octet of a key's scheme."""
    code = _SCHEME_CODES.get(key.scheme)
    if code is None:
        raise LocalFieldError(f"unknown MAC scheme {key.scheme!r}")
    if key.ksn:
        return code | _OF_DUKPT
    return code | _OF_SESSION if key.session else code


def write_key_name(key: MacKey) -> bytes:
    """Return what names a key within its register: its terminal, or the token of a session key."""
    if key.ksn:
        if key.diversifier or key.session or len(key.ksn) != KSN_OCTETS.get(key.scheme):
            raise LocalFieldError("a key serial number has 10 octets, or 12 for AES, and nothing else names the key")
        return key.ksn
    if key.session:
        if key.diversifier or len(key.session) > SESSION_TOKEN_OCTETS_MAX:
            raise LocalFieldError("a session key has a token of up to 64 octets and no diversifier")
        return key.session
    text = key.diversifier
    if len(text) > DIVERSIFIER_OCTETS_MAX or not (text.isascii() and text.isprintable()):
        raise LocalFieldError("diversifier is not up to 16 printable ASCII characters")
    return text.encode("ascii")


def read_mac_key(register_id: int, scheme: int, name: bytes, octets: int) -> MacKey:
    """Read the name of a key."""
    if scheme & _OF_DUKPT:
        algorithm = _SCHEME_NAMES.get(scheme & ~_OF_DUKPT)
        if algorithm not in KSN_OCTETS:
            raise ValueError("MAC scheme")
        require(octets == KSN_OCTETS[algorithm] and len(name) == octets, "length of the key serial number")
        return MacKey(register_id=register_id, scheme=algorithm, diversifier="", ksn=name)
    return _read_lasting_key(register_id, scheme, name, octets)


@lru_cache(maxsize=MAC_KEYS_MAX)
def _read_lasting_key(register_id: int, scheme: int, name: bytes, octets: int) -> MacKey:
    """Terminals come back: reading one again would cost more than all else of a MAC request."""
    is_session = bool(scheme & _OF_SESSION)
    algorithm = _SCHEME_NAMES.get(scheme & ~_OF_SESSION)
    if algorithm is None:
        raise ValueError("MAC scheme")
    if is_session:
        require(0 < octets <= SESSION_TOKEN_OCTETS_MAX and len(name) == octets, "token length")
        return MacKey(register_id=register_id, scheme=algorithm, diversifier="", session=name)
    require(octets <= DIVERSIFIER_OCTETS_MAX and len(name) == octets, "diversifier length")
    text = name.decode("ascii")
    require(text.isprintable(), "diversifier is not printable ASCII")
    return MacKey(register_id=register_id, scheme=algorithm, diversifier=text)


def _encode_make(request: MakeSessionKey) -> bytes:
    return _MAKE.pack(request.zone_register_id, request.generation)


def _encode_take(request: TakeSessionKey) -> bytes:
    if len(request.wrapped) > WRAPPED_KEY_OCTETS_MAX:
        raise LocalFieldError("a wrapped key is too long")
    try:
        kcv = bytes.fromhex(request.kcv)
    except ValueError as error:
        raise LocalFieldError("a check value is hexadecimal") from error
    return _TAKE.pack(request.zone_register_id, request.generation, kcv) + request.wrapped


def _encode_retire(request: RetireKey) -> bytes:
    key, name = request.key, write_key_name(request.key)
    return _RETIRE.pack(request.zone_register_id, request.seconds, key.register_id, write_scheme(key), len(name)) + name


def _decode_make(fields: bytes) -> MakeSessionKey:
    zone_register_id, generation = _MAKE.unpack(fields)
    require(1 <= generation <= GENERATION_MAX, "generation")
    return MakeSessionKey(zone_register_id=zone_register_id, generation=generation)


def _decode_take(fields: bytes) -> TakeSessionKey:
    zone_register_id, generation, kcv = _TAKE.unpack_from(fields)
    require(1 <= generation <= GENERATION_MAX, "generation")
    wrapped = fields[_TAKE.size :]
    require(0 < len(wrapped) <= WRAPPED_KEY_OCTETS_MAX, "length of the wrapped key")
    return TakeSessionKey(zone_register_id=zone_register_id, generation=generation, kcv=kcv.hex(), wrapped=wrapped)


def _decode_retire(fields: bytes) -> RetireKey:
    zone_register_id, seconds, register_id, scheme, octets = _RETIRE.unpack_from(fields)
    require(seconds <= OVERLAP_SECONDS_MAX, "overlap")
    key = read_mac_key(register_id, scheme, fields[_RETIRE.size :], octets)
    return RetireKey(zone_register_id=zone_register_id, key=key, seconds=seconds)


REQUESTS: tuple[tuple[type[Request], Command, Callable[[Any], bytes], Callable[[bytes], Request]], ...] = (
    (MakeSessionKey, Command.MAKE_SESSION_KEY, _encode_make, _decode_make),
    (TakeSessionKey, Command.TAKE_SESSION_KEY, _encode_take, _decode_take),
    (RetireKey, Command.RETIRE_KEY, _encode_retire, _decode_retire),
)
"""How each request is written and read."""


def _encode_key(reply: SessionKeyMade | SessionKeyTaken | KeyRetired) -> bytes:
    key = reply.key
    return bytes((len(key.token),)) + key.token + bytes.fromhex(key.kcv) + key.wrapped


def _decode_key(fields: bytes) -> SessionKey:
    kcv_at = 1 + fields[0]
    wrapped_at = kcv_at + _CHECK_VALUE_OCTETS
    require(0 < fields[0] <= SESSION_TOKEN_OCTETS_MAX and len(fields) >= wrapped_at, "token length")
    return SessionKey(token=fields[1:kcv_at], kcv=fields[kcv_at:wrapped_at].hex(), wrapped=fields[wrapped_at:])


def _decode_made(fields: bytes) -> Reply:
    key = _decode_key(fields)
    require(0 < len(key.wrapped) <= WRAPPED_KEY_OCTETS_MAX, "length of the wrapped key")
    return SessionKeyMade(key=key)


def _decode_taken(fields: bytes) -> Reply:
    key = _decode_key(fields)
    require(not key.wrapped, "length")
    return SessionKeyTaken(key=key)


def _decode_retired(fields: bytes) -> Reply:
    key = _decode_key(fields)
    require(not key.wrapped, "length")
    return KeyRetired(key=key)


REPLIES: tuple[tuple[type[Reply], Command, Callable[[Any], bytes], Callable[[bytes], Reply]], ...] = (
    (SessionKeyMade, Command.MAKE_SESSION_KEY, _encode_key, _decode_made),
    (SessionKeyTaken, Command.TAKE_SESSION_KEY, _encode_key, _decode_taken),
    (KeyRetired, Command.RETIRE_KEY, _encode_key, _decode_retired),
)
"""How each reply is written and read."""
