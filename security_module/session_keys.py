"""Session keys: MAC keys that two ends change over the line, each wrapped under a zone key that both hold.

The module keeps none of them. What the switch gets is a *token*: the key sealed under its zone key, to be kept in the ledger and shown with
each MAC that it is to make. So a restart loses nothing, and every module with the same zone key knows every session key.

A key of ours is a function of the zone key and its generation, so asking again, here or in another module, gives the same one.

Source of the token: RFC 5297 (AES-SIV). How a key is wrapped for the wire: `messages.key_wrapping`.
"""

import hashlib
import hmac
import struct
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from Crypto.Cipher import AES

from messages.key_wrapping import CannotUnwrap, check_value, unwrap, wrap
from messages.security_module import MacKey, MacScheme, Status
from security_module.key_entry import is_weak
from security_module.macs import AesCmac, MacRefused, RetailMac, TerminalMac
from security_module.registers import MAC_KEY_OCTETS, MacRegister, with_odd_parity
from vending.secret import Secret
from vending.session_key import GENERATION_MAX, SessionKey

READY_MAX = 256
"""Session keys kept ready: three for each network."""

_TOKEN_VERSION = 1
_TOKEN_HEAD = struct.Struct(">BHIQ")
_TOKEN_TAG = 16
TOKEN_OCTETS = _TOKEN_HEAD.size + _TOKEN_TAG + MAC_KEY_OCTETS
_MILLISECONDS = 1000


class NotAToken(Exception):
    """It was not made by `seal_token` under this zone key, or was changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedKey:
    """What a token holds. ``not_after_milliseconds``: Unix time by the module's clock after which it is refused, 0: never."""

    generation: int
    key: Secret[bytes]
    not_after_milliseconds: int


def derive_session_key(zone: MacRegister, generation: int) -> Secret[bytes]:
    """Return our session key of *generation*: HMAC-SHA256 under the zone key, cut to 16 octets; odd parity for TDES."""
    message = b"eudora session MAC key\x00" + struct.pack(">HI", zone.register_id, generation)
    for attempt in range(256):
        key = hmac.digest(zone.key.reveal(), message + bytes((attempt,)), "sha256")[:MAC_KEY_OCTETS]
        if zone.scheme == MacScheme.AES_CMAC:
            return Secret(key)
        key = with_odd_parity(key)
        if key[:8] != key[8:]:
            return Secret(key)
    raise AssertionError("equal halves 256 times")


def seal_token(zone: MacRegister, key: Secret[bytes], *, generation: int, not_after_milliseconds: int = 0) -> bytes:
    """Seal a session key for the ledger: version (1) | zone register (2) | generation (4) | not after (8) | tag (16) | key (16).

    The same key gives the same token. Everything before the tag is authenticated.
    """
    head = _TOKEN_HEAD.pack(_TOKEN_VERSION, zone.register_id, generation, not_after_milliseconds)
    cipher = _siv(zone, head)
    sealed, tag = cipher.encrypt_and_digest(key.reveal())
    return head + bytes(tag) + bytes(sealed)


def open_token(zone: MacRegister, token: bytes) -> OpenedKey:
    """Open what `seal_token` made.

    Raises:
        NotAToken: see there.
    """
    if len(token) != TOKEN_OCTETS:
        raise NotAToken("not a token")
    head, tag, sealed = token[: _TOKEN_HEAD.size], token[_TOKEN_HEAD.size : -MAC_KEY_OCTETS], token[-MAC_KEY_OCTETS:]
    try:
        key = _siv(zone, head).decrypt_and_verify(sealed, tag)
    except ValueError:
        raise NotAToken("not a token of this zone key") from None
    version, register_id, generation, not_after = _TOKEN_HEAD.unpack(head)
    if (version, register_id) != (_TOKEN_VERSION, zone.register_id):
        raise NotAToken("a token of another register or version")
    return OpenedKey(generation=generation, key=Secret(key), not_after_milliseconds=not_after)


def _siv(zone: MacRegister, head: bytes):  # type: ignore[no-untyped-def]
    key = hmac.digest(zone.key.reveal(), b"eudora session key token", hashlib.sha512)
    cipher = AES.new(key, AES.MODE_SIV)
    cipher.update(head)
    return cipher


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    mac: TerminalMac
    not_after_milliseconds: int


class SessionKeys:
    """Makes session keys, takes a partner's in, retires them, and makes MACs under their tokens.

    Args:
        registers: the MAC registers; those with ``is_zone`` hold zone keys.
        clock_unix_milliseconds: the module's clock; a retired key ends by it.
        record: writes an act in the audit: its name, then details by name.
    """

    def __init__(
        self,
        registers: Mapping[int, MacRegister],
        clock_unix_milliseconds: Callable[[], int],
        record: Callable[..., None] = lambda act, **details: None,
    ) -> None:
        self._registers = registers
        self._clock = clock_unix_milliseconds
        self._record = record
        self._ready: OrderedDict[MacKey, _Ready] = OrderedDict()
        self._recorded: OrderedDict[tuple[str, int, int, str], None] = OrderedDict()
        self._refusals: Counter[int] = Counter()

    def make(self, zone_register_id: int, generation: int) -> SessionKey:
        """Return our session key of *generation*, 1 to `GENERATION_MAX`; `MacRefused` if there is no such zone."""
        zone = self._zone(zone_register_id)
        if not 1 <= generation <= GENERATION_MAX:
            raise MacRefused(Status.FORMAT_ERROR)
        key = derive_session_key(zone, generation)
        made = self._session_key(zone, key, generation, wrapped=wrap(zone.scheme, zone.key, key))
        self._note("session_key_made", zone, generation, made.kcv)
        return made

    def take(self, zone_register_id: int, generation: int, wrapped: bytes, kcv: str) -> SessionKey:
        """Take a partner's session key in; `MacRefused` with `KEY_INVALID` if it is not the one that *kcv* names."""
        zone = self._zone(zone_register_id)
        try:
            key = unwrap(zone.scheme, zone.key, wrapped, kcv)
        except CannotUnwrap:
            raise self._not_taken(zone) from None
        is_des = zone.scheme == MacScheme.X9_19
        if is_des:
            key = Secret(with_odd_parity(key.reveal()))
        if is_weak(key.reveal(), is_des=is_des):
            raise self._not_taken(zone)
        taken = self._session_key(zone, key, generation)
        self._note("session_key_taken", zone, generation, taken.kcv)
        return taken

    def retire(self, zone_register_id: int, key: MacKey, seconds: int) -> SessionKey:
        """Return a token of *key* that is refused *seconds* from now; the key of a register without terminals may be named too."""
        zone = self._zone(zone_register_id)
        if key.session:
            opened = self._open(key)
            generation, secret = opened.generation, opened.key
        else:
            register = self._registers.get(key.register_id)
            if register is None:
                raise MacRefused(Status.UNKNOWN_REGISTER)
            if register.is_zone or register.is_dukpt or register.is_diversified or register.scheme != zone.scheme:
                raise MacRefused(Status.REGISTER_CONTRADICTION)
            generation, secret = 0, register.key
        until = self._clock() + seconds * _MILLISECONDS
        retired = self._session_key(zone, secret, generation, not_after_milliseconds=until)
        self._note("session_key_retired", zone, generation, retired.kcv)
        return retired

    def generate(self, key: MacKey, data: bytes) -> bytes:
        """Return 8 octets over *data* under the token in *key*; `MacRefused` if it is none, or is retired."""
        return self._find(key).compute(data)

    def is_right(self, key: MacKey, data: bytes, mac: bytes) -> bool:
        """Compare in constant time; `MacRefused` likewise."""
        return hmac.compare_digest(self._find(key).compute(data), mac)

    def _find(self, key: MacKey) -> TerminalMac:
        found = self._ready.get(key)
        if found is None:
            opened = self._open(key)
            mac = RetailMac(opened.key) if key.scheme == MacScheme.X9_19 else AesCmac(opened.key)
            found = self._ready[key] = _Ready(mac=mac, not_after_milliseconds=opened.not_after_milliseconds)
            if len(self._ready) > READY_MAX:
                self._ready.popitem(last=False)
        if found.not_after_milliseconds and self._clock() > found.not_after_milliseconds:
            raise MacRefused(Status.KEY_RETIRED)
        return found.mac

    def _open(self, key: MacKey) -> OpenedKey:
        zone = self._zone(key.register_id)
        if zone.scheme != key.scheme:
            raise MacRefused(Status.REGISTER_CONTRADICTION)
        try:
            return open_token(zone, key.session)
        except NotAToken:
            raise MacRefused(Status.KEY_INVALID) from None

    def _note(self, act: str, zone: MacRegister, generation: int, kcv: str) -> None:
        """Once for each key and act: asking again must not fill the audit."""
        key = (act, zone.register_id, generation, kcv)
        if key not in self._recorded:
            self._recorded[key] = None
            if len(self._recorded) > READY_MAX:
                self._recorded.popitem(last=False)
            self._record(act, register=zone.register_id, generation=generation, kcv=kcv)

    def _not_taken(self, zone: MacRegister) -> MacRefused:
        """Whoever tries check values fills the audit no more than the logarithm of his tries."""
        self._refusals[zone.register_id] += 1
        tries = self._refusals[zone.register_id]
        if tries.bit_count() == 1:
            self._record("session_key_refused", register=zone.register_id, tries=tries)
        return MacRefused(Status.KEY_INVALID)

    def _zone(self, register_id: int) -> MacRegister:
        zone = self._registers.get(register_id)
        if zone is None:
            raise MacRefused(Status.UNKNOWN_REGISTER)
        if not zone.is_zone:
            raise MacRefused(Status.REGISTER_CONTRADICTION)
        return zone

    def _session_key(
        self,
        zone: MacRegister,
        key: Secret[bytes],
        generation: int,
        *,
        wrapped: bytes = b"",
        not_after_milliseconds: int = 0,
    ) -> SessionKey:
        token = seal_token(zone, key, generation=generation, not_after_milliseconds=not_after_milliseconds)
        return SessionKey(token=token, wrapped=wrapped, kcv=check_value(zone.scheme, key.reveal()))
