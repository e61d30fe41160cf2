"""How engineering tokens, key changes and approved credit stand in the audit: what tells their contents apart, and their lines."""

import json
from collections.abc import Sequence
from typing import Any

from messages.security_module import MintRequest, Status
from security_module.audit_chain import canonical, content_of, masked_pan, mint_line
from security_module.keyed_hash import KeyedHash
from vending.engineering import EngineeringRequest, KeyChangeRequest

TokenRequest = MintRequest | EngineeringRequest | KeyChangeRequest


def content_of_request(request: TokenRequest, content_key: KeyedHash) -> bytes:
    """Return 32 octets that tell what *request* makes from any other under the same id, and say nothing without the key.

    Approvals are no part of it: they change no digit, and the same request may be asked again with others.
    """
    if isinstance(request, MintRequest):
        return content_of(request, content_key)
    if isinstance(request, EngineeringRequest):
        content = (
            f"engineering|{request.register_id}|{request.pan}|{request.tariff_index}|{request.encryption_algorithm}|"
            f"{request.kind.word}|{request.value}|{request.tid}|{request.maker_code}"
        )
    else:
        content = (
            f"key_change|{request.from_register_id}|{request.to_register_id}|{request.pan}|{request.from_tariff_index}|"
            f"{request.to_tariff_index}|{request.encryption_algorithm}|{request.sections}"
        )
    return content_key.digest(content.encode("ascii"))


def line_of_request(
    sequence: int, at: str, request: TokenRequest, status: Status, content: bytes, approvers: Sequence[str]
) -> str:
    """Write the record of a request or of its refusal; *approvers* are the people whose signatures it carried."""
    if isinstance(request, MintRequest):
        line = mint_line(sequence, at, request, status, content)
        return canonical({**json.loads(line), "approved_by": approvers}) if approvers else line
    head = {"n": sequence, "at": at}
    tail = {"status": status.name, "content": content.hex(), "approved_by": list(approvers)}
    meter = {"meter": masked_pan(request.pan)}
    what: dict[str, Any]
    if isinstance(request, EngineeringRequest):
        what = {
            "kind": "engineering",
            "id": request.request_id,
            "register": request.register_id,
            **meter,
            "does": request.kind.word,
            "value": request.value,
            "tid": None if request.kind.is_test else request.tid,
        }
    else:
        what = {
            "kind": "key_change",
            "id": request.request_id,
            "register": request.to_register_id,
            **meter,
            "from": [request.from_register_id, request.from_tariff_index],
            "to": [request.to_register_id, request.to_tariff_index],
            "sections": request.sections,
        }
    return canonical({**head, **what, **tail})
