"""What a register refuses, as a table."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from messages.security_module import MintRequest, Status
from security_module.registers import ModuleKeys
from security_module.rules import Tally, find_refusal
from sts.codes import BaseDate, EncryptionAlgorithm, KeyType
from sts.tid import tid_at
from vending.money import Centavos, Tenths

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
        ({"units_per_token_max_tenths": 99}, {}, Status.TOKEN_TOO_LARGE),
        ({"units_per_token_max_tenths": 100}, {}, None),
        ({"units_limit_tenths": 1100}, {}, None),
        ({"units_limit_tenths": 1099}, {}, Status.LIMIT_EXCEEDED),
        ({"units_limit_tenths": 1100}, {"tokens": ((TID, 100), (TID + 1, 1))}, Status.LIMIT_EXCEEDED),
        ({"units_per_day_limit_tenths": 400}, {}, None),
        ({"units_per_day_limit_tenths": 399}, {}, Status.DAY_LIMIT_EXCEEDED),
        ({"money_limit_centavos": 90_000}, {}, None),
        ({"money_limit_centavos": 89_999}, {}, Status.MONEY_LIMIT_EXCEEDED),
        ({"money_limit_centavos": 80_000}, {"charged_centavos": None}, None),
        (
            {"money_limit_centavos": 80_000, "floor_centavos_per_unit": 1},
            {"charged_centavos": None},
            Status.MONEY_LIMIT_EXCEEDED,
        ),
        ({"money_limit_centavos": 80_010, "floor_centavos_per_unit": 1}, {"charged_centavos": Centavos(0)}, None),
        ({"money_per_day_limit_centavos": 40_000}, {}, None),
        ({"money_per_day_limit_centavos": 39_999}, {}, Status.DAY_MONEY_LIMIT_EXCEEDED),
        ({"issued_until": NOW + HOUR}, {}, None),
        ({"issued_until": NOW}, {}, Status.ISSUE_ENDED),
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
        charged_centavos=Centavos(10_000),
    )
    changed = replace(keys.vending[1], **register)
    life, day = Tally(10, 10, 1000, 80_000), Tally(3, 3, 300, 30_000)
    found = find_refusal(changed, replace(asked, **request_), now=NOW, life=life, day=day)
    assert found is status
