"""Proof of equality without keys: digests over what two modules must have in common, each told from the others by its own beginning.

Of the clients it covers who may connect and as what, not their certificates: every module signs its own.
"""

import hashlib
import json
from dataclasses import asdict
from typing import Any

from security_module.key_store import to_public_document
from security_module.registers import ModuleKeys, client_pairs


def fingerprint(keys: ModuleKeys) -> str:
    """Return SHA-256 over what is public of the registers, with the check value of every secret: equal modules show equal fingerprints."""
    return _digest(to_public_document(keys))


def people_fingerprint(keys: ModuleKeys) -> str:
    """Return SHA-256 over who approves and who sends key load files: names, public keys, and the serial of each one's last file."""
    approvers = sorted([each.public_key, each.name] for each in keys.approvers.values())
    senders = sorted([each.public_key, each.name, each.last_serial] for each in keys.senders.values())
    return _digest({"approvers": approvers, "senders": senders})


def clients_fingerprint(keys: ModuleKeys) -> str:
    """Return SHA-256 over who may connect, by name and role."""
    return _digest({"clients": [[name, role.value] for name, role in client_pairs(keys)]})


def tills_fingerprint(keys: ModuleKeys) -> str:
    """Return SHA-256 over which vendor terminals may have leases and how large, and whose till this module is of."""
    vendors = sorted((each.document() for each in keys.vendors.values()), key=lambda each: str(each["terminal_id"]))
    return _digest({"vendors": vendors, "till": None if keys.till is None else asdict(keys.till)})


def fingerprints(keys: ModuleKeys) -> dict[str, str]:
    """Return all of them, by what they are over: ``registers``, ``people``, ``clients``, ``tills``."""
    return {
        "registers": fingerprint(keys),
        "people": people_fingerprint(keys),
        "clients": clients_fingerprint(keys),
        "tills": tills_fingerprint(keys),
    }


def _digest(document: Any) -> str:
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()
