"""The fields of a token: amounts, meter numbers, identifiers, checksums."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sts.amount import (
    CURRENCY_MAX,
    EXACT_UNITS_MAX,
    UNITS_MAX,
    decode_currency,
    decode_units,
    encode_currency,
    encode_units,
)
from sts.codes import BaseDate
from sts.crc import crc16_arc, crc16_sts, crc16_sts_currency
from sts.errors import FieldRangeError
from sts.pan import is_luhn_valid, luhn_digit, pan_of_meter, parse_pan
from sts.tid import TID_MAX, instant_of, is_reserved, next_tids, tid_at


@given(st.integers(0, 0xFFFF))
def test_every_amount_field_is_the_code_of_its_own_value(field: int) -> None:
    """No two fields mean the same amount, so what a field means is coded as that field again."""
    assert encode_units(decode_units(field)) == field


@given(st.integers(0, UNITS_MAX))
def test_an_amount_rounds_up_by_less_than_a_step(units: int) -> None:
    """The customer never gets less than was sold, and never a whole step more."""
    field = encode_units(units)
    assert units <= decode_units(field)
    assert field == 0 or decode_units(field - 1) < units


@given(st.integers(0, EXACT_UNITS_MAX))
def test_small_amounts_are_exact(units: int) -> None:
    """Up to 16 383 tenths a token carries exactly what was sold."""
    assert decode_units(encode_units(units)) == units


@given(st.integers(-CURRENCY_MAX, CURRENCY_MAX))
def test_money_rounds_toward_the_customer(amount: int) -> None:
    """Money of either sign rounds up by less than one part in sixteen thousand, and its code is stable."""
    field, extra = encode_currency(amount)
    read = decode_currency(field, extra)
    assert 0 <= read - amount <= abs(amount) // 1000
    assert decode_currency(*encode_currency(read)) == read


@pytest.mark.parametrize("amount", [CURRENCY_MAX + 1, -CURRENCY_MAX - 1])
def test_money_beyond_its_field_is_refused(amount: int) -> None:
    """Neither sign has room beyond the largest exponent."""
    with pytest.raises(FieldRangeError):
        encode_currency(amount)


@given(st.text("0123456789", min_size=1, max_size=30), st.integers(0, 40), st.integers(1, 9))
def test_luhn_catches_every_single_wrong_digit(digits: str, position: int, change: int) -> None:
    """A number with its check digit is valid, and with any one digit changed it is not."""
    number = f"{digits}{luhn_digit(digits)}"
    position %= len(number)
    wrong = f"{number[:position]}{(int(number[position]) + change) % 10}{number[position + 1 :]}"
    assert is_luhn_valid(number)
    assert not is_luhn_valid(wrong)


@given(st.sampled_from([10, 12]).flatmap(lambda n: st.text("0123456789", min_size=n, max_size=n)))
def test_a_meter_number_and_its_pan_lead_to_each_other(digits: str) -> None:
    """The PAN of a meter number of either length is taken apart into that number again."""
    drn = f"{digits}{luhn_digit(digits)}"
    pan = pan_of_meter(drn)
    # A 13-digit number cannot be confused with an 11-digit one: its PAN starts with zeros.
    assert (len(pan), parse_pan(pan).drn, str(parse_pan(pan))) == (18, drn, pan)


@pytest.mark.parametrize(
    "number",
    ["", "5800007952", "58000079524", "5800007952a", "580000795230", "５８００００７９５２３", "58000079523\n"],
)
def test_what_is_no_meter_number_is_refused(number: str) -> None:
    """Wrong length, wrong check digit, letters, other scripts' digits and line ends are all refused."""
    with pytest.raises(FieldRangeError):
        pan_of_meter(number)


def test_an_unknown_issuer_is_refused() -> None:
    """A PAN begins with one of the two issuers, even where check digits are not looked at."""
    with pytest.raises(FieldRangeError, match="starts with"):
        parse_pan("123456000000000009", is_compliance_test=True)


@given(st.integers(0, TID_MAX), st.sampled_from(BaseDate))
def test_an_identifier_and_its_minute_lead_to_each_other(tid: int, base_date: BaseDate) -> None:
    """Each identifier stands for one minute; only the reserved one gives way, to the minute behind it."""
    minute = instant_of(tid, base_date)
    assert tid_at(minute + timedelta(seconds=59), base_date, is_special=True) == tid
    if tid < TID_MAX:
        assert tid_at(minute, base_date) == tid + is_reserved(tid)


@given(
    st.integers(0, TID_MAX - 60_000).map(lambda minute: datetime(2014, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)),
    st.none() | st.integers(0, TID_MAX - 5000),
    st.integers(1, 1440),
)
@settings(deadline=None)
def test_identifiers_are_new_ascending_and_never_reserved(now: datetime, last_tid: int | None, count: int) -> None:
    """What is handed out is above everything before it, in order, without the reserved minute, and as early as that allows."""
    tids = next_tids(now, last_tid, BaseDate.Y2014, count)
    floor = tid_at(now, BaseDate.Y2014)
    if last_tid is not None:
        floor = max(floor, last_tid + 1)
    assert len(tids) == count
    candidates = [tid for tid in range(floor, floor + count + 3) if tid % 1440 != 1]
    assert list(tids) == candidates[:count]


def test_two_sales_in_one_minute_get_two_identifiers() -> None:
    """The second sale of a minute is stamped with the next one."""
    now = datetime(2026, 7, 29, 15, 30, 59, tzinfo=UTC)
    (first,) = next_tids(now, None, BaseDate.Y2014, 1)
    assert next_tids(now, first, BaseDate.Y2014, 2) == (first + 1, first + 2)


def test_a_clock_that_steps_back_does_not_reuse_an_identifier() -> None:
    """After a step back the next identifier is still above the last."""
    now = datetime(2026, 7, 29, 15, 30, tzinfo=UTC)
    (last,) = next_tids(now, None, BaseDate.Y2014, 1)
    assert next_tids(now - timedelta(days=2), last, BaseDate.Y2014, 1) == (last + 1,)


@pytest.mark.parametrize(("last_tid", "count"), [(TID_MAX, 1), (TID_MAX - 2, 3), (None, 0), (None, 1441)])
def test_identifiers_run_out_loudly(last_tid: int | None, count: int) -> None:
    """At the end of the 24 bits, and for a senseless count, the answer is an error and not a short list."""
    with pytest.raises(FieldRangeError):
        next_tids(datetime(2026, 1, 1, tzinfo=UTC), last_tid, BaseDate.Y2014, count)


def test_a_time_without_zone_is_a_bug() -> None:
    """A naive time stops the programmer, it does not make a token."""
    with pytest.raises(AssertionError):
        tid_at(datetime(2026, 1, 1), BaseDate.Y2014)  # noqa: DTZ001


def _crc_bit_by_bit(data: bytes, register: int) -> int:
    for octet in data:
        for bit in range(8):
            feedback = (register ^ octet >> bit) & 1
            register = register >> 1 ^ (0xA001 if feedback else 0)
    return register


@given(st.binary(max_size=20))
def test_the_table_driven_checksum_equals_the_shift_register(data: bytes) -> None:
    """The three checksums equal a register that is clocked bit by bit."""
    register = _crc_bit_by_bit(data, 0xFFFF)
    assert crc16_arc(data) == _crc_bit_by_bit(data, 0)
    assert crc16_sts(data) == int.from_bytes(register.to_bytes(2, "little"), "big")
    assert crc16_sts_currency(data) == crc16_sts(data + b"\x01")
