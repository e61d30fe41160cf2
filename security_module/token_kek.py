"""A key encryption key that opens with a key in a PKCS#11 token: the store starts without people, and without its file a token is nothing.

The KEK itself is random, as under custodians; its 32 octets stand in the header of the store under AES-256-CBC with padding
(CKM_AES_CBC_PAD, PKCS#11 v2.40 section 2.8.5), by a key that was made in the token and cannot leave it (CKA_SENSITIVE, not CKA_EXTRACTABLE). CBC
because every token has it; that what comes out is the KEK is proved by its check value and by the authentication of the store. Which
library speaks for the token is never read from the store: it is code.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from security_module.key_store import read_private
from security_module.sealed_store import FROM_TOKEN, Header, Kek, RandomOctets, StoreError
from vending.secret import Secret

if TYPE_CHECKING:
    import pkcs11

LIBRARY_VARIABLE = "EUDORA_SECURITY_MODULE_PKCS11_LIBRARY"
PIN_FILE_VARIABLE = "EUDORA_SECURITY_MODULE_PKCS11_PIN_FILE"
CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"
CREDENTIAL_NAME = "security-module-pkcs11-pin"
KEY_LABEL = "eudora KEK"
_KEY_OCTETS = 32
_KEY_BITS = 256
_IV_OCTETS = 16
_ID_OCTETS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenAccess:
    """How this machine reaches tokens: the PKCS#11 library of their maker, and the user's PIN."""

    library: Path
    pin: Secret[str]


def token_access(environment: Mapping[str, str]) -> TokenAccess:
    """Find the library and the PIN: what the environment names, or a systemd credential for the PIN.

    Raises:
        StoreError: one of them is not named, or the PIN's file is missing or readable by others.
    """
    library = environment.get(LIBRARY_VARIABLE)
    if not library:
        raise StoreError(f"the store opens with a PKCS#11 token; say its library in {LIBRARY_VARIABLE}")
    named, credentials = environment.get(PIN_FILE_VARIABLE), environment.get(CREDENTIALS_VARIABLE)
    if not named and not credentials:
        raise StoreError(f"the store opens with a PKCS#11 token; say where its PIN is in {PIN_FILE_VARIABLE}")
    path = Path(named) if named else Path(str(credentials)) / CREDENTIAL_NAME
    return TokenAccess(library=Path(library), pin=Secret(read_private(path).rstrip(b"\r\n").decode("utf-8")))


def kek_for_token(access: TokenAccess, token_label: str, random_octets: RandomOctets) -> Kek:
    """Make a new KEK, and a new key in the token that wraps it. Keys of earlier KEKs stay in the token and open old copies only.

    Raises:
        StoreError: the token does not exist, refuses, or gives the key out.
    """
    key, iv, key_id = (random_octets(octets) for octets in (_KEY_OCTETS, _IV_OCTETS, _ID_OCTETS))
    with _session(access, token_label, may_write=True) as (library, session):
        wrapping = session.generate_key(
            library.KeyType.AES,
            _KEY_BITS,
            id=key_id,
            label=KEY_LABEL,
            store=True,
            capabilities=library.MechanismFlag.ENCRYPT | library.MechanismFlag.DECRYPT,
            template={library.Attribute.SENSITIVE: True, library.Attribute.EXTRACTABLE: False},
        )
        if wrapping[library.Attribute.EXTRACTABLE] or not wrapping[library.Attribute.SENSITIVE]:
            raise StoreError(f"the token {token_label!r} made a key that can leave it")
        wrapped = _of_any_type(wrapping).encrypt(key, mechanism=library.Mechanism.AES_CBC_PAD, mechanism_param=iv)
    origin = {
        "source": FROM_TOKEN,
        "token": token_label,
        "key_id": key_id.hex(),
        "iv": iv.hex(),
        "wrapped": bytes(wrapped).hex(),
    }
    return Kek(key=Secret(key), origin=origin)


def kek_from_token(access: TokenAccess, header: Header) -> Kek:
    """Have the token unwrap the KEK of a store, and prove it.

    Raises:
        StoreError: the token does not exist, refuses, or has not the key; or what came out has another check value.
    """
    origin = header.origin
    with _session(access, str(origin["token"]), may_write=False) as (library, session):
        wrapping = session.get_key(
            object_class=library.ObjectClass.SECRET_KEY,
            key_type=library.KeyType.AES,
            id=bytes.fromhex(origin["key_id"]),
        )
        key = _of_any_type(wrapping).decrypt(
            bytes.fromhex(origin["wrapped"]),
            mechanism=library.Mechanism.AES_CBC_PAD,
            mechanism_param=bytes.fromhex(origin["iv"]),
        )
    return header.proved(Kek(key=Secret(bytes(key)), origin=origin))


def _of_any_type(key: Any) -> Any:
    """What a key can do is added to its class at run time, by what the token says of it; its declared type knows nothing of that."""
    return key


@contextmanager
def _session(access: TokenAccess, token_label: str, *, may_write: bool) -> "Iterator[tuple[pkcs11, pkcs11.Session]]":  # type: ignore[valid-type]
    try:
        import pkcs11
    except ImportError as error:
        raise StoreError("PKCS#11 needs python-pkcs11: install eudora[pkcs11]") from error
    try:
        token = pkcs11.lib(str(access.library)).get_token(token_label=token_label)
        with token.open(user_pin=access.pin.reveal(), rw=may_write) as session:
            yield pkcs11, session
    except pkcs11.PKCS11Error as error:
        # The library's own words may hold anything; the name of its error says enough.
        raise StoreError(f"the PKCS#11 token {token_label!r} refuses: {type(error).__name__}") from None
