"""The town that is simulated: one network, a few terminals and meters, keys that are the same in every run."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Engine

from config.acquirer import AcquirerSection, MacSection
from ledger import opening, schema
from security_module.macs import derive_terminal_key
from security_module.registers import MacRegister, VendingRegister, with_odd_parity
from sts.codes import KEY_NEVER_EXPIRES, BaseDate, EncryptionAlgorithm, KeyAlgorithm, KeyType
from sts.pan import luhn_digit, pan_of_meter
from vending.money import BasisPoints, Centavos
from vending.policy import SalePolicy
from vending.ports import MacScheme
from vending.secret import Secret

BASE = datetime(2026, 8, 31, 3, 40, tzinfo=UTC)
"""When every run begins: late in the last evening but one of a month, so that days and months end while it goes on."""

ACQUIRER = "banco"
VENDING_REGISTER = 1
MAC_REGISTER = 10
POLICY = SalePolicy(
    minimum_paid_centavos=Centavos(100_000),
    maximum_paid_centavos=Centavos(50_000_000),
    cap_basis_points=BasisPoints(4000),
)


def _octets(name: str, count: int) -> bytes:
    return hashlib.shake_256(name.encode()).digest(count)


VENDING = VendingRegister(
    register_id=VENDING_REGISTER,
    supply_group_code=123456,
    key_revision_number=1,
    key_expiry_number=KEY_NEVER_EXPIRES,
    base_date=BaseDate.Y2014,
    key_type=KeyType.UNIQUE,
    key_algorithm=KeyAlgorithm.DKGA04,
    encryption_algorithms=frozenset(EncryptionAlgorithm),
    subclasses=frozenset({0, 1, 2}),
    active_from=datetime(2020, 1, 1, tzinfo=UTC),
    expires_at=None,
    tid_window_minutes=None,
    units_per_token_max_tenths=18_201_624,
    units_limit_tenths=None,
    is_inhibited=False,
    is_test=True,
    key=Secret(_octets("vending", 20)),
    selection_secret=Secret(_octets("selection", 32)),
)

MAC = MacRegister(
    register_id=MAC_REGISTER,
    scheme=MacScheme.X9_19,
    is_diversified=True,
    is_test=True,
    key=Secret(with_odd_parity(_octets("mac", 16))),
)


def terminal_key(terminal_id: str) -> Secret[bytes]:
    """Return the MAC key of one terminal."""
    return derive_terminal_key(MAC, terminal_id)


def acquirer_section(**changes: Any) -> AcquirerSection:
    """Return the configuration of the network."""
    mac = MacSection(register_id=MAC_REGISTER)
    return AcquirerSection.model_validate({"id": ACQUIRER, "listen_port": 0, "mac": mac, **changes})


def number_of(meter: int) -> str:
    """Return the number of a meter, 11 digits with their check digit."""
    digits = f"{3_700_000_000 + meter:010d}"
    return digits + str(luhn_digit(digits))


def build(engine: Engine, *, terminal_ids: Sequence[str], meters: int, deposit: Centavos) -> None:
    """Fill an empty ledger."""
    with engine.begin() as connection:
        opening.open_chart(connection)
        acquirer = opening.add_acquirer(
            connection, code=ACQUIRER, name=ACQUIRER, commission_basis_points=BasisPoints(150)
        )
        for terminal_id in sorted(set(terminal_ids)):
            connection.execute(schema.terminal.insert().values(acquirer_id=acquirer, code=terminal_id, status="active"))
        connection.execute(schema.key_register.insert().values(id=VENDING_REGISTER, base_year=2014))
        numbers = range(1, meters + 1)
        connection.execute(
            schema.account_holder.insert(),
            [{"id": n, "account_number": f"C{n}", "name": f"María Ñúñez {n}", "address": f"CL {n}"} for n in numbers],
        )
        connection.execute(schema.meter.insert(), [_meter(n) for n in numbers])
        connection.execute(schema.obligation.insert(), [debt for n in numbers if n % 2 == 0 for debt in _debts(n)])
        connection.execute(
            schema.tariff_version.insert().values(
                service=0,
                user_class="residential",
                stratum=1,
                altitude="low",
                valid_from=date(2025, 1, 1),
                publication="simulation",
                blocks=[
                    {"up_to": 1730, "rate": 3_600_000, "full_rate": 9_000_000},
                    {"up_to": None, "rate": 9_000_000, "full_rate": 9_000_000},
                ],
            )
        )
        opening.deposit(connection, acquirer_code=ACQUIRER, amount_centavos=deposit, at=BASE)
        opening.post_opening(connection, BASE)


def _meter(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "meter_number": number_of(number),
        "pan": pan_of_meter(number_of(number)),
        "holder_id": number,
        "register_id": VENDING_REGISTER,
        "tariff_index": 1,
        "encryption_algorithm": 7 if number % 2 else 11,
        "service": 0,
        "user_class": "residential",
        "stratum": 1,
        "altitude": "low",
        "status": "active",
        "remainder_centavos": 123 if number % 2 == 0 else 0,
    }


def _debts(meter: int) -> list[dict[str, Any]]:
    plain = {
        "meter_id": meter,
        "due": date(2026, 3, 31),
        "interest_centavos": 0,
        "full_centavos": 0,
        "instalment_due_centavos": 0,
        "share_basis_points": 0,
        "disputed": False,
    }
    return [
        {
            **plain,
            "code": "aseo",
            "kind": "charge",
            "priority": 10,
            "capital_centavos": 300_000,
            "full_centavos": 450_000,
        },
        {
            **plain,
            "code": "mora",
            "kind": "obligation",
            "priority": 30,
            "capital_centavos": 60_000_000,
            "interest_centavos": 250_000,
            "share_basis_points": 1000,
            "instalment_due_centavos": 40_000,
        },
    ]
