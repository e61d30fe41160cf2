"""The file that carries one person's approval from where it was signed to where it is used: one line of JSON."""

import json
from pathlib import Path

from vending.engineering import PUBLIC_KEY_OCTETS, SIGNATURE_OCTETS, Approval

_VERSION = 1


class ApprovalFileError(Exception):
    """The file holds no approval."""


def approval_text(approval: Approval) -> str:
    """Return the content of the file."""
    fields = {
        "eudora_approval": _VERSION,
        "public_key": approval.public_key.hex(),
        "expires_unix_seconds": approval.expires_unix_seconds,
        "signature": approval.signature.hex(),
    }
    return json.dumps(fields) + "\n"


def read_approval(path: Path) -> Approval:
    """Read a file of `approval_text`; whether it is right is for the security module to say.

    Raises:
        ApprovalFileError: it is none, or of another version.
    """
    try:
        fields = json.loads(path.read_text(encoding="ascii"))
        approval = Approval(
            public_key=bytes.fromhex(fields["public_key"]),
            expires_unix_seconds=int(fields["expires_unix_seconds"]),
            signature=bytes.fromhex(fields["signature"]),
        )
        is_known = fields["eudora_approval"] == _VERSION
    except (ValueError, KeyError, TypeError) as error:
        raise ApprovalFileError("this is no approval") from error
    if not is_known or (len(approval.public_key), len(approval.signature)) != (PUBLIC_KEY_OCTETS, SIGNATURE_OCTETS):
        raise ApprovalFileError("this is no approval of version 1")
    return approval
