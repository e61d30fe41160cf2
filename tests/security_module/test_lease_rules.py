"""The pure rules of leases: encodings, signatures, every limit, what is accepted, and what is given for a statement."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messages.security_module import Status
from messages.security_module_leases import SIGNED_OCTETS_MAX
from security_module.audit_chain import AuditKey
from security_module.lease import (
    LEASE_CONTEXT,
    STATEMENT_CONTEXT,
    Lease,
    LeaseError,
    Statement,
    prove,
    read_lease,
    read_statement,
)
from security_module.lease_rules import (
    Account,
    Issued,
    Use,
    account_of,
    find_acceptance_refusal,
    find_mint_refusal,
    judge_request,
)
from security_module.registers import ModuleKeys
from security_module.vendors import AMOUNT_MAX, SALES_MAX, LeaseLimits, VendorTerminal, read_vendor
from tests.security_module.conftest import NOW
from tests.security_module.lease_bench import GROUPS, HEAD_KEY, LIMITS, TERMINAL, a_sale, a_vendor
from vending.calendar import local_date
from vending.money import Centavos, Tenths
from vending.secret import Secret

AT = int(NOW.timestamp())
KEY = AuditKey("", Secret(bytes([1]) * 32))

NAMES = st.text("ABCxyz0189-_.", min_size=1, max_size=16)
AMOUNTS = st.integers(1, AMOUNT_MAX)
GROUPS_ST = st.sets(st.tuples(st.integers(0, 999_999), st.integers(1, 9)), min_size=1, max_size=16).map(
    lambda groups: tuple(sorted(groups))
)
LEASES = st.builds(
    Lease,
    terminal_id=NAMES,
    epoch=st.integers(1, 2**32 - 2),
    not_before_unix_seconds=st.integers(0, 2**40),
    not_after_unix_seconds=st.integers(2**40 + 1, 2**41),
    limits=st.builds(
        LeaseLimits,
        credit_centavos=AMOUNTS,
        units_tenths=AMOUNTS,
        sales_max=st.integers(1, SALES_MAX),
        sale_max_centavos=AMOUNTS,
        meter_day_max_centavos=AMOUNTS,
    ),
    previous_link=st.binary(min_size=32, max_size=32),
    supply_groups=GROUPS_ST,
    zone=st.text("abc -/", max_size=32),
)
U64 = st.integers(0, 2**64 - 1)
STATEMENTS = st.builds(
    Statement,
    terminal_id=NAMES,
    epoch=st.integers(0, 2**32 - 2),
    sales=st.integers(0, 2**32 - 1),
    charged_centavos=U64,
    units_tenths=U64,
    sequence=U64,
    link=st.binary(min_size=32, max_size=32),
    closed_unix_seconds=U64,
)


def a_lease(**changes: Any) -> Lease:
    first = Lease(
        terminal_id=TERMINAL,
        epoch=3,
        not_before_unix_seconds=AT - 300,
        not_after_unix_seconds=AT + 3600,
        limits=LIMITS,
        previous_link=bytes([7]) * 32,
        supply_groups=GROUPS,
        zone="",
    )
    return replace(first, **changes)


def a_statement(**changes: Any) -> Statement:
    first = Statement(
        terminal_id=TERMINAL,
        epoch=2,
        sales=1,
        charged_centavos=1_000_00,
        units_tenths=10,
        sequence=9,
        link=bytes([7]) * 32,
        closed_unix_seconds=AT,
    )
    return replace(first, **changes)


def signed(statement: Statement) -> bytes:
    return KEY.sign_octets(STATEMENT_CONTEXT, statement.octets())


@given(LEASES, STATEMENTS)
def test_what_is_signed_reads_back(lease: Lease, statement: Statement) -> None:
    """A lease and a statement come back as they were; neither is ever the other, also not with its signature."""
    lease_octets = KEY.sign_octets(LEASE_CONTEXT, lease.octets())
    statement_octets = KEY.sign_octets(STATEMENT_CONTEXT, statement.octets())
    assert read_lease(lease_octets) == lease
    assert read_statement(statement_octets) == statement
    assert max(len(lease_octets), len(statement_octets)) <= SIGNED_OCTETS_MAX
    prove(lease_octets, LEASE_CONTEXT, HEAD_KEY)
    for octets, context in ((lease_octets, STATEMENT_CONTEXT), (statement_octets, LEASE_CONTEXT)):
        with pytest.raises(LeaseError):
            prove(octets, context, HEAD_KEY)


@given(LEASES, st.data())
def test_one_changed_bit_is_another_lease(lease: Lease, data: st.DataObject) -> None:
    """Whatever bit is turned, and wherever it is cut or made longer, it is no lease or not signed by the head-end."""
    octets = KEY.sign_octets(LEASE_CONTEXT, lease.octets())
    bit = data.draw(st.integers(0, 8 * len(octets) - 1))
    turned = bytearray(octets)
    turned[bit // 8] ^= 1 << bit % 8
    for forged in (bytes(turned), octets[: bit // 8], octets + b"\x00"):
        with pytest.raises(LeaseError):
            prove(forged, LEASE_CONTEXT, HEAD_KEY)


@given(st.binary(max_size=400))
def test_garbage_is_no_lease(octets: bytes) -> None:
    """Nothing but an honest error comes of octets that nobody made."""
    for read in (read_lease, read_statement):
        with pytest.raises(LeaseError):
            read(octets)


def test_a_lease_has_one_encoding() -> None:
    """The same groups in another order, or one twice, with a good signature, are not read."""
    good = a_lease(supply_groups=((201457, 1), (201457, 2))).octets()
    groups = good[-11:-1]
    for other in (groups[5:] + groups[:5], groups[:5] * 2):
        with pytest.raises(LeaseError):
            read_lease(KEY.sign_octets(LEASE_CONTEXT, good[:-11] + other + good[-1:]))


def test_a_signature_of_somebody_else() -> None:
    """The right octets under another key are forged."""
    other = AuditKey("", Secret(bytes([9]) * 32))
    with pytest.raises(LeaseError):
        prove(other.sign_octets(LEASE_CONTEXT, a_lease().octets()), LEASE_CONTEXT, HEAD_KEY)


@pytest.mark.parametrize(
    ("lease", "use", "of_meter", "sale", "expected"),
    [
        ({}, {}, 0, {}, None),
        ({"not_before_unix_seconds": AT + 1}, {}, 0, {}, Status.LEASE_NOT_VALID),
        ({"not_after_unix_seconds": AT}, {}, 0, {}, Status.LEASE_NOT_VALID),
        ({"not_after_unix_seconds": AT + 1}, {}, 0, {}, None),
        ({"supply_groups": ((201457, 2),)}, {}, 0, {}, Status.LEASE_FORBIDS),
        ({"supply_groups": ((201458, 1),)}, {}, 0, {}, Status.LEASE_FORBIDS),
        ({}, {}, 0, {"pesos": None}, Status.LEASE_SALE_LIMIT),
        ({}, {}, 0, {"pesos": 4_000}, None),
        ({}, {}, 0, {"pesos": 4_001}, Status.LEASE_SALE_LIMIT),
        ({}, {}, 5_000_00, {}, None),
        ({}, {}, 5_000_01, {}, Status.LEASE_METER_LIMIT),
        ({}, {"charged_centavos": 9_000_00}, 0, {}, None),
        ({}, {"charged_centavos": 9_000_01}, 0, {}, Status.LEASE_MONEY_LIMIT),
        ({}, {"units_tenths": 490}, 0, {}, None),
        ({}, {"units_tenths": 491}, 0, {}, Status.LEASE_UNITS_LIMIT),
        ({}, {}, 0, {"pesos": 0, "units": 501}, Status.LEASE_UNITS_LIMIT),
        ({}, {"sales": 7}, 0, {}, None),
        ({}, {"sales": 8}, 0, {}, Status.LEASE_SALES_LIMIT),
    ],
)
def test_every_limit_of_a_lease(
    keys: ModuleKeys,
    lease: dict[str, Any],
    use: dict[str, Any],
    of_meter: int,
    sale: dict[str, Any],
    expected: Status | None,
) -> None:
    """On the limit it is minted, one beyond it is not, and each limit has a code of its own."""
    found = find_mint_refusal(
        a_lease(**lease),
        keys.vending[1],
        a_sale(1, **sale),
        now=NOW,
        use=Use(**use),
        meter_day_centavos=of_meter,
        is_locked=False,
    )
    assert found is expected


def test_no_lease_and_a_locked_one(keys: ModuleKeys) -> None:
    """Without a lease, and after the clock was set under one, nothing is minted."""
    asked: dict[str, Any] = {"now": NOW, "use": Use(), "meter_day_centavos": 0}
    register, sale = keys.vending[1], a_sale(1)
    assert find_mint_refusal(None, register, sale, **asked, is_locked=False) is Status.LEASE_NEEDED
    assert find_mint_refusal(a_lease(), register, sale, **asked, is_locked=True) is Status.LEASE_LOCKED


def test_units_count_at_the_floor_of_the_register(keys: ModuleKeys) -> None:
    """Who says that a unit costs nothing takes from the money of the lease what the register says a unit is worth."""
    register = replace(keys.vending[1], floor_centavos_per_unit=50_000)
    sale = a_sale(1, 0, units=100)  # 10 units, 5 000 pesos at least
    asked: dict[str, Any] = {"now": NOW, "use": Use(), "meter_day_centavos": 0, "is_locked": False}
    assert find_mint_refusal(a_lease(), register, sale, **asked) is Status.LEASE_SALE_LIMIT
    assert find_mint_refusal(a_lease(), register, replace(sale, tokens=((1, Tenths(80)),)), **asked) is None


@given(st.lists(st.tuples(st.sampled_from([1, 2, 3]), st.integers(0, 5_000_00), st.integers(1, 200)), max_size=30))
def test_what_is_minted_never_passes_the_lease(
    template: tuple[Path, ModuleKeys], sales: list[tuple[int, int, int]]
) -> None:
    """Whatever is asked for in whatever order, the sums of what was allowed stay within every limit."""
    use, lease, day, register = Use(), a_lease(), local_date(NOW), template[1].vending[1]
    done: list[tuple[int, int, int]] = []
    for meter, centavos, units in sales:
        sale = replace(a_sale(1, 0, units=units), charged_centavos=Centavos(centavos))
        name = bytes([meter])
        refusal = find_mint_refusal(
            lease,
            register,
            sale,
            now=NOW,
            use=use,
            meter_day_centavos=use.of_meter(name, day),
            is_locked=False,
        )
        if refusal is None:
            use.add(name, day, centavos, units)
            done.append((meter, centavos, units))
    assert len(done) == use.sales <= LIMITS.sales_max
    assert sum(centavos for _, centavos, _ in done) <= LIMITS.credit_centavos
    assert sum(units for _, _, units in done) <= LIMITS.units_tenths
    for meter in (1, 2, 3):
        of_meter = [centavos for each, centavos, _ in done if each == meter]
        assert sum(of_meter) <= LIMITS.meter_day_max_centavos
        assert max(of_meter, default=0) <= LIMITS.sale_max_centavos


def test_a_new_day_begins_with_no_meter() -> None:
    """What a meter was sold for counts for its day; the sums of the lease go on."""
    use, day = Use(), local_date(NOW)
    use.add(b"ana", day, 500, 1)
    assert (use.of_meter(b"ana", day), use.of_meter(b"ana", day + timedelta(1))) == (500, 0)
    use.add(b"luz", day + timedelta(1), 300, 1)
    assert (use.charged_centavos, use.sales, use.of_meter(b"ana", day + timedelta(1))) == (800, 2, 0)


@pytest.mark.parametrize(
    ("changes", "seen", "closing", "expected"),
    [
        ({}, 2, {}, None),
        ({"epoch": 9}, 2, {}, None),
        ({"terminal_id": "T0000043"}, 2, {}, Status.LEASE_INVALID),
        ({}, 3, {}, Status.LEASE_REPLAYED),
        ({}, 4, {}, Status.LEASE_REPLAYED),
        ({}, 2, None, Status.LEASE_OPEN),
        ({}, 2, {"link": bytes(32)}, Status.LEASE_CHAIN),
        ({"not_before_unix_seconds": AT + 1}, 2, {}, Status.LEASE_NOT_VALID),
        ({"not_after_unix_seconds": AT}, 2, {}, Status.LEASE_NOT_VALID),
    ],
)
def test_what_a_till_accepts(
    changes: dict[str, Any], seen: int, closing: dict[str, Any] | None, expected: Status | None
) -> None:
    """Its own, a newer one than any seen, after its own closing, on its own chain, and in its time."""
    found = find_acceptance_refusal(
        a_lease(**changes),
        terminal_id=TERMINAL,
        epoch_seen=seen,
        closing=None if closing is None else a_statement(**closing),
        now=NOW,
    )
    assert found is expected


def issued(*leases: tuple[int, bytes]) -> dict[int, Issued]:
    return {
        epoch: Issued(lease=a_lease(epoch=epoch), signed=b"lease %d" % epoch, request=request)
        for epoch, request in leases
    }


FIRST, SECOND, OTHER = (
    signed(a_statement(epoch=0, sales=0)),
    signed(a_statement(epoch=1)),
    signed(a_statement(epoch=1, sales=2)),
)
ONE, TWO = issued((1, FIRST)), issued((1, FIRST), (2, SECOND))
OVER = NOW + timedelta(seconds=3600)


@pytest.mark.parametrize(
    ("request_", "before", "now", "expected"),
    [
        (FIRST, {}, NOW, 1),
        (FIRST, ONE, NOW, ONE[1]),
        (SECOND, ONE, NOW, 2),
        (SECOND, TWO, NOW, TWO[2]),
        (FIRST, TWO, NOW, Status.LEASE_REPLAYED),
        (OTHER, TWO, NOW, Status.TERMINAL_FROZEN),  # Two closings of one lease: two copies of one till.
        (SECOND, {}, NOW, Status.TERMINAL_FROZEN),  # It closes what was never given.
        (signed(a_statement(epoch=0, sales=0, sequence=10)), ONE, NOW, Status.TERMINAL_FROZEN),  # Begun anew.
        (signed(a_statement(epoch=1, charged_centavos=10_000_01)), ONE, NOW, Status.TERMINAL_FROZEN),
        (signed(a_statement(epoch=1, units_tenths=501)), ONE, NOW, Status.TERMINAL_FROZEN),
        (signed(a_statement(epoch=1, sales=9)), ONE, NOW, Status.TERMINAL_FROZEN),
        (FIRST, ONE, OVER, 2),  # The lease went by without being accepted.
        (SECOND, issued((1, FIRST), (2, FIRST)), NOW, Status.TERMINAL_FROZEN),  # And then it was used all the same.
    ],
)
def test_what_a_head_end_gives(
    request_: bytes, before: Mapping[int, Issued], now: datetime, expected: Status | Issued | int
) -> None:
    """One live lease; the same question has the same answer; a contradiction stops the terminal."""
    assert judge_request(request_, read_statement(request_), before, now) == expected


def test_the_account_of_a_terminal() -> None:
    """What is closed is settled at what the till said; what is open or went by is at risk with all of its credit."""
    leases = issued((1, FIRST), (2, SECOND), (3, SECOND))
    assert account_of(leases) == Account(
        epoch=3,
        not_after_unix_seconds=AT + 3600,
        live_centavos=10_000_00,
        lapsed_centavos=10_000_00,
        settled_sales=1,
        settled_centavos=1_000_00,
    )
    assert account_of(leases).at_risk_centavos == 20_000_00


@pytest.mark.parametrize(
    "wrong",
    [
        {"terminal_id": ""},
        {"terminal_id": "T" * 17},
        {"terminal_id": "T 1"},
        {"public_key": "00"},
        {"supply_groups": ()},
        {"supply_groups": ((201457, 2), (201457, 1))},
        {"supply_groups": ((201457, 0),)},
        {"lease_hours": 0},
        {"lease_hours": 745},
        {"zone": "z" * 33},
        {"zone": "ñ"},
    ],
)
def test_a_terminal_that_cannot_be(wrong: dict[str, Any]) -> None:
    """A registration that a lease could not say is refused where it is made."""
    with pytest.raises(ValueError, match=r"\w"):
        a_vendor(**wrong)


@pytest.mark.parametrize(
    "name", ["credit_centavos", "units_tenths", "sales_max", "sale_max_centavos", "meter_day_max_centavos"]
)
def test_no_limit_may_be_left_out(name: str) -> None:
    """Nothing and too much are no limits."""
    for value in (0, AMOUNT_MAX + 1):
        with pytest.raises(ValueError, match=name):
            replace(LIMITS, **{name: value})


def test_a_terminal_reads_back() -> None:
    """Sealed and opened it is the same."""
    vendor: VendorTerminal = a_vendor()
    assert read_vendor(vendor.document()) == vendor
