"""What a register refuses, as a table."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from messages.security_module import MintRequest, RegisterCount, Status
from security_module.registers import ModuleKeys
from security_module.rules import find_refusal
from sts.codes import BaseDate, EncryptionAlgorithm, KeyType
from sts.tid import tid_at
from vending.money import Tenths

NOW = datetime.fromisoformat("2026-03-01T12:00:00+00:00")
TID = tid_at(NOW, BaseDate.Y2014)
WEEK = 7 * 24 * 60
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("register", "request_", "status"),
    [
        ({}, {}, None),
        ({"key_type": KeyType.DEFAULT}, {}, Status.REGISTER_CONTRADICTION),
        ({"encryption_algorithms": frozenset({EncryptionAlgorithm.STA})}, {}, Status.REGISTER_CONTRADICTION),
        ({}, {"encryption_algorithm": 9}, Status.REGISTER_CONTRADICTION),
        ({}, {"subclass": 3}, Status.REGISTER_CONTRADICTION),
        ({}, {"subclass": 2}, None),
        ({"is_inhibited": True}, {}, Status.VENDING_INHIBITED),
        ({"active_from": NOW}, {}, None),
        ({"active_from": NOW + HOUR}, {}, Status.NOT_ACTIVE_YET),
        ({"expires_at": NOW + HOUR}, {}, None),
        ({"expires_at": NOW}, {}, Status.REGISTER_EXPIRED),
        ({"key_expiry_number": TID >> 16}, {}, None),
        ({"key_expiry_number": (TID >> 16) - 1}, {}, Status.REGISTER_EXPIRED),
        ({}, {"tokens": ((TID - WEEK, 5),)}, None),
        ({}, {"tokens": ((TID - WEEK - 1, 5),)}, Status.TID_OUTSIDE_WINDOW),
        ({}, {"tokens": ((TID + WEEK, 5),)}, None),
        ({}, {"tokens": ((TID, 5), (TID + WEEK + 1, 5))}, Status.TID_OUTSIDE_WINDOW),
        ({}, {"tokens": ((TID, 5), (TID, 6))}, Status.TID_OUTSIDE_WINDOW),
        ({"tid_window_minutes": None}, {"tokens": ((5, 5),)}, None),
        ({"base_date": BaseDate.Y1993}, {}, Status.TID_OUTSIDE_WINDOW),
        ({"units_per_token_max_tenths": 99}, {}, Status.LIMIT_EXCEEDED),
        ({"units_per_token_max_tenths": 100}, {}, None),
        ({"units_limit_tenths": 1100}, {}, None),
        ({"units_limit_tenths": 1099}, {}, Status.LIMIT_EXCEEDED),
        ({"units_limit_tenths": 1100}, {"tokens": ((TID, 100), (TID + 1, 1))}, Status.LIMIT_EXCEEDED),
        ({"is_inhibited": True, "expires_at": NOW}, {"subclass": 3}, Status.REGISTER_CONTRADICTION),
    ],
)
def test_a_register_keeps_its_rules(
    keys: ModuleKeys, register: dict[str, Any], request_: dict[str, Any], status: Status | None
) -> None:
    """Each rule refuses beyond its edge and not on it; the first that applies is answered."""
    asked = MintRequest(
        request_id=1,
        register_id=1,
        pan="600727000000000009",
        tariff_index=1,
        encryption_algorithm=11,
        subclass=0,
        tokens=((TID, Tenths(100)),),
    )
    count = RegisterCount(register_id=1, requests=10, tokens=10, units_tenths=1000)
    found = find_refusal(replace(keys.vending[1], **register), replace(asked, **request_), now=NOW, count=count)
    assert found is status
