"""The audit chain: records linked by hash, and heads signed by the module's audit key. Pure, and all that a verifier needs.

A record is one line of JSON with its keys in a fixed order. Its link is SHA-256 over the link before it (32 octets) and the line in
UTF-8. A head says "record N has the link H" and is signed with Ed25519; it vouches for everything before it.

Source: docs/security-module/audit.md.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from messages.security_module import MintRequest, Status
from security_module.keyed_hash import KeyedHash
from vending.secret import Secret

CHAIN_START = bytes(32)
"""The link before the first record."""
AUDIT_KEY_OCTETS = 32
_HEAD_CONTEXT = b"eudora audit head\x00"
_CONTENT_CONTEXT = b"eudora audit content"
_PAN_SHOWN_FIRST, _PAN_SHOWN_LAST = 6, 4


class AuditError(Exception):
    """An audit record, head or file is not what the module wrote; the text says where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A signed statement: record *sequence* of *module_id* has the link *link*, said at *signed_at* (ISO 8601)."""

    module_id: str
    sequence: int
    link: bytes
    signed_at: str
    signature: bytes

    def line(self) -> str:
        """Return it as it stands in an export."""
        return canonical({**_head_fields(self), "signature": self.signature.hex()})


def _head_fields(head: Head) -> dict[str, Any]:
    return {
        "kind": "head",
        "module": head.module_id,
        "n": head.sequence,
        "link": head.link.hex(),
        "at": head.signed_at,
    }


def _signed_octets(head: Head) -> bytes:
    return _HEAD_CONTEXT + canonical(_head_fields(head)).encode("utf-8")


class AuditKey:
    """The module's key for heads, and the secret under which it digests what meters must not be guessed from."""

    def __init__(self, module_id: str, seed: Secret[bytes]) -> None:
        """Set up from the 32 octets of the sealed store."""
        self._module_id = module_id
        self._key = Ed25519PrivateKey.from_private_bytes(seed.reveal())
        self.content_key: Secret[bytes] = Secret(hmac.digest(seed.reveal(), _CONTENT_CONTEXT, "sha256"))

    def sign(self, sequence: int, link: bytes, at: datetime) -> Head:
        """Sign the head of the chain."""
        head = Head(module_id=self._module_id, sequence=sequence, link=link, signed_at=at.isoformat(), signature=b"")
        return Head(**{**_as_mapping(head), "signature": self._key.sign(_signed_octets(head))})

    def sign_octets(self, context: bytes, octets: bytes) -> bytes:
        """Return *octets* and behind them 64 of a signature over *context* and them; no two kinds of things share a context."""
        return octets + self._key.sign(context + octets)

    def public_hex(self) -> str:
        """Return the public key as another module is told it: 64 hexadecimal digits."""
        return self._key.public_key().public_bytes_raw().hex()

    def public_pem(self) -> bytes:
        """Return the public key, for those who verify."""
        return self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )


def _as_mapping(head: Head) -> dict[str, Any]:
    return {name: getattr(head, name) for name in ("module_id", "sequence", "link", "signed_at")}


def read_public_key(pem: bytes) -> Ed25519PublicKey:
    """Read what `AuditKey.public_pem` wrote; `AuditError` if it is another kind of key or none."""
    try:
        key = serialization.load_pem_public_key(pem)
    except ValueError as error:
        raise AuditError("this is no public key in PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise AuditError("this is no Ed25519 public key")
    return key


def check_head(head: Head, key: Ed25519PublicKey) -> None:
    """Raise `AuditError` if *head* was not signed with *key*."""
    try:
        key.verify(head.signature, _signed_octets(head))
    except InvalidSignature as error:
        raise AuditError(f"the signature of the head at record {head.sequence} is wrong") from error


def next_link(link: bytes, line: str) -> bytes:
    """Return the link of the record *line* that follows the one whose link is *link*."""
    return hashlib.sha256(link + line.encode("utf-8")).digest()


def canonical(fields: Mapping[str, Any]) -> str:
    """Write *fields* as one line of JSON in their order, without spaces."""
    return json.dumps(fields, separators=(",", ":"))


def content_of(request: MintRequest, content_key: KeyedHash) -> bytes:
    """Return 32 octets that tell what *request* mints from any other under the same id, and say nothing without the key.

    What was charged is not part of it: it changes no token, and a switch that did not say it yet may ask again for what it sold.
    """
    tokens = ",".join([f"{tid}:{units}" for tid, units in request.tokens])
    content = (
        f"{request.register_id}|{request.pan}|{request.tariff_index}|{request.encryption_algorithm}|{request.subclass}|"
        f"{tokens}"
    )
    return content_key.digest(content.encode("ascii"))


def mint_line(sequence: int, at: str, request: MintRequest, status: Status, content: bytes) -> str:
    """Write the record of a mint, or of its refusal. The meter's number is masked; no digit of a token is in it.

    Equal to `canonical` of the same fields; written out because every sale waits for it.
    """
    charged = request.charged_centavos
    return (
        f'{{"n":{sequence},"at":"{at}","kind":"mint","id":{request.request_id},"register":{request.register_id},'
        f'"meter":"{masked_pan(request.pan)}","tokens":{_pairs(request.tokens)},'
        f'"charged_centavos":{"null" if charged is None else charged},"status":"{status.name}","content":"{content.hex()}"}}'
    )


def masked_pan(pan: str) -> str:
    """Return a PAN as it stands in the audit: enough of it to find a meter that is known, too little to list meters."""
    return pan[:_PAN_SHOWN_FIRST] + "*" * (len(pan) - _PAN_SHOWN_FIRST - _PAN_SHOWN_LAST) + pan[-_PAN_SHOWN_LAST:]


def _pairs(tokens: Sequence[tuple[int, int]]) -> str:
    return "[" + ",".join([f"[{tid},{units}]" for tid, units in tokens]) + "]"


def act_line(sequence: int, at: str, act: str, details: Mapping[str, Any]) -> str:
    """Write the record of a management act or of something that the module noticed."""
    return canonical({"n": sequence, "at": at, "kind": "act", "act": act, "details": details})


def read_head(fields: Mapping[str, Any]) -> Head:
    """Read a head's line that was parsed already; `AuditError` if a field is missing."""
    try:
        return Head(
            module_id=str(fields["module"]),
            sequence=int(fields["n"]),
            link=bytes.fromhex(fields["link"]),
            signed_at=str(fields["at"]),
            signature=bytes.fromhex(fields["signature"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise AuditError("a head cannot be read") from error
