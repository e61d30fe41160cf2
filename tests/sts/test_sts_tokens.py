"""Tokens made and read again, under their own key and under any other."""

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sts import (
    BaseDate,
    CurrencyCredit,
    DecoderKeyInputs,
    DecoderKeys,
    EncryptionAlgorithm,
    FieldRangeError,
    KeyAlgorithm,
    KeySection,
    KeyType,
    Management,
    MeterTest,
    NewKey,
    TokenCrcError,
    TokenFormatError,
    UnitCredit,
    UnsupportedError,
    credit_token,
    currency_token,
    decode,
    derive_decoder_key,
    extended_control,
    extended_flag,
    key_change_tokens,
    load_tables,
    management_token,
    meter_test_token,
)
from sts.amount import EXACT_UNITS_MAX, encode_units
from sts.framing import build_block, encrypt_block, from_digits, to_digits, transpose, untranspose
from sts.tid import TID_MAX

TABLES = load_tables()
VENDING_KEY = bytes.fromhex("abababababababab949494949494949401234567")
STA = EncryptionAlgorithm.STA
MISTY1 = EncryptionAlgorithm.MISTY1
INPUTS = DecoderKeyInputs(
    key_algorithm=KeyAlgorithm.DKGA04,
    pan="600727000000000009",
    supply_group_code=201457,
    tariff_index=1,
    key_revision_number=1,
    key_type=KeyType.UNIQUE,
    base_date=BaseDate.Y2014,
    encryption_algorithm=MISTY1,
)

algorithms = st.sampled_from(EncryptionAlgorithm)
tids = st.integers(0, TID_MAX)
nibbles = st.integers(0, 15)


def _key(ea: EncryptionAlgorithm) -> bytes:
    return derive_decoder_key(replace(INPUTS, encryption_algorithm=ea), VENDING_KEY)


@given(algorithms, st.integers(0, 3), nibbles, tids, st.integers(0, EXACT_UNITS_MAX))
@settings(deadline=None)
def test_a_unit_token_says_what_was_put_in(
    ea: EncryptionAlgorithm, subclass: int, rnd: int, tid: int, units: int
) -> None:
    """Register, random nibble, identifier and units come out of the twenty digits as they went in."""
    token = credit_token(_key(ea), ea, TABLES, subclass, rnd, tid, units)
    assert len(token) == 20
    assert decode(token, _key(ea), ea, TABLES) == UnitCredit(subclass=subclass, rnd=rnd, tid=tid, units_tenths=units)


@given(algorithms, st.integers(4, 7), tids, st.integers(-EXACT_UNITS_MAX, EXACT_UNITS_MAX))
@settings(deadline=None)
def test_a_money_token_says_what_was_put_in(ea: EncryptionAlgorithm, subclass: int, tid: int, amount: int) -> None:
    """Register, identifier and money of either sign come out as they went in."""
    token = currency_token(_key(ea), ea, TABLES, subclass, tid, amount)
    assert decode(token, _key(ea), ea, TABLES) == CurrencyCredit(subclass=subclass, tid=tid, hundred_thousandths=amount)


@given(algorithms, st.sampled_from([0, 1, 2, 5, 6, 7, 10, 11, 15]), nibbles, tids, st.integers(0, 0xFFFF))
@settings(deadline=None)
def test_a_management_token_says_what_was_put_in(
    ea: EncryptionAlgorithm, subclass: int, rnd: int, tid: int, value: int
) -> None:
    """Function, random nibble, identifier and value come out as they went in; only the limits are watts."""
    token = management_token(_key(ea), ea, TABLES, subclass, rnd, tid, value)
    read = decode(token, _key(ea), ea, TABLES)
    assert isinstance(read, Management)
    assert (read.subclass, read.rnd, read.tid, read.value) == (subclass, rnd, tid, value)
    assert (read.watts is None) == (subclass not in (0, 6))


def test_a_power_limit_is_read_in_watts() -> None:
    """The value of a power limit is coded as an amount: 20 000 W is not exact and rounds up."""
    token = management_token(_key(STA), STA, TABLES, 0, 5, 1000, encode_units(20_000))
    read = decode(token, _key(STA), STA, TABLES)
    assert isinstance(read, Management)
    assert read.watts == 20_004


def _test_fields(subclass: int, maker_bits: int) -> st.SearchStrategy[tuple[int, int, int]]:
    controls, makers = st.integers(0, (1 << 44 - maker_bits) - 1), st.integers(0, (1 << maker_bits) - 1)
    return st.tuples(st.just(subclass), controls, makers)


@given(_test_fields(0, 8) | _test_fields(1, 16) | _test_fields(2, 8))
def test_a_test_token_opens_without_a_key(fields: tuple[int, int, int]) -> None:
    """Class 1 is not encrypted: any key reads it, and control and maker come out as they went in."""
    subclass, control, maker = fields
    token = meter_test_token(subclass, control, maker)
    assert decode(token, bytes(8), STA, TABLES) == MeterTest(subclass=subclass, control=control, maker_code=maker)


@pytest.mark.parametrize(
    "other",
    [
        replace(INPUTS, pan="000001000000000082"),
        replace(INPUTS, supply_group_code=201458),
        replace(INPUTS, tariff_index=2),
        replace(INPUTS, key_revision_number=2),
        replace(INPUTS, key_type=KeyType.DEFAULT),
        replace(INPUTS, base_date=BaseDate.Y2035),
    ],
)
@pytest.mark.parametrize("ea", list(EncryptionAlgorithm))
def test_a_token_opens_only_under_its_own_key(ea: EncryptionAlgorithm, other: DecoderKeyInputs) -> None:
    """Another meter, supply group, tariff index, key revision, key type or base date sees a wrong checksum."""
    token = credit_token(_key(ea), ea, TABLES, 0, 5, 85_740, 438)
    key = derive_decoder_key(replace(other, encryption_algorithm=ea), VENDING_KEY)
    with pytest.raises(TokenCrcError):
        decode(token, key, ea, TABLES)


@given(st.text("0123456789", min_size=18, max_size=18), st.integers(0, 99), algorithms)
def test_many_meters_keys_are_those_of_each(pan: str, tariff_index: int, ea: EncryptionAlgorithm) -> None:
    """What is set up once for a register gives the keys that are derived one by one, by both derivations."""
    inputs = replace(INPUTS, tariff_index=tariff_index, encryption_algorithm=ea)
    older = replace(inputs, key_algorithm=KeyAlgorithm.DKGA02, encryption_algorithm=STA)
    for of, key in ((inputs, VENDING_KEY), (older, VENDING_KEY[:8])):
        many = DecoderKeys(of, key)
        assert many.of(pan) == derive_decoder_key(replace(of, pan=pan), key)
        assert VENDING_KEY.hex()[:8] not in repr(many)
        with pytest.raises(FieldRangeError):
            many.of(pan[1:])
    with pytest.raises(FieldRangeError):
        DecoderKeys(inputs, VENDING_KEY[:8])


def test_another_vending_key_makes_another_decoder_key() -> None:
    """One bit of the vending key changes the decoder key under both derivations."""
    flipped = bytes([VENDING_KEY[0] ^ 2]) + VENDING_KEY[1:]
    dkga02 = replace(INPUTS, key_algorithm=KeyAlgorithm.DKGA02, encryption_algorithm=STA)
    assert derive_decoder_key(INPUTS, VENDING_KEY) != derive_decoder_key(INPUTS, flipped)
    assert derive_decoder_key(dkga02, VENDING_KEY[:8]) != derive_decoder_key(dkga02, flipped[:8])


@given(algorithms, st.integers(0, 19), st.integers(1, 9))
@settings(deadline=None)
def test_one_wrong_digit_is_noticed(ea: EncryptionAlgorithm, position: int, change: int) -> None:
    """A typing slip in one digit of this token never opens as another token."""
    token = credit_token(_key(ea), ea, TABLES, 0, 5, 85_740, 438)
    digit = (int(token[position]) + change) % 10
    wrong = f"{token[:position]}{digit}{token[position + 1 :]}"
    with pytest.raises((TokenCrcError, TokenFormatError, UnsupportedError)):
        decode(wrong, _key(ea), ea, TABLES)


@given(st.integers(0, (1 << 64) - 1), st.integers(0, 3))
def test_transposition_undoes_itself(block: int, token_class: int) -> None:
    """Block and class are found again in the 66-bit number, which fits its digits."""
    number = transpose(block, token_class)
    assert untranspose(number) == (block, token_class)
    assert from_digits(to_digits(number)) == number


@pytest.mark.parametrize("token", ["7063 0503 4700 2872 6114", " 70630503470028726114 "])
def test_a_token_may_be_typed_in_groups(token: str) -> None:
    """Groups of four and spaces around are how people type."""
    assert from_digits(token) == 70630503470028726114


@pytest.mark.parametrize(
    "token",
    [
        "",
        "7063050347002872611",
        "706305034700287261140",
        "7063050347002872611O",
        "73786976294838206464",
        "99999999999999999999",
        "706 30503 4700 2872 6114",
        "7063  0503 4700 2872 6114",
        "7063-0503-4700-2872-6114",
        "+7063050347002872611",
        "٧٠٦٣٠٥٠٣٤٧٠٠٢٨٧٢٦١١٤",
    ],
)
def test_what_is_no_token_is_refused(token: str) -> None:
    """Length, letters, signs, odd groups, other scripts and numbers beyond 66 bits."""
    with pytest.raises(TokenFormatError):
        from_digits(token)


def test_the_largest_number_of_66_bits_is_a_token() -> None:
    """The border of the format lies between 2^66 - 1 and 2^66."""
    assert from_digits("73786976294838206463") == 2**66 - 1


@pytest.mark.parametrize(
    ("rnd", "tid", "units"), [(16, 0, 0), (-1, 0, 0), (0, TID_MAX + 1, 0), (0, -1, 0), (0, 0, 18_201_625), (0, 0, -1)]
)
def test_a_field_out_of_range_makes_no_token(rnd: int, tid: int, units: int) -> None:
    """Nothing wraps around into another field."""
    with pytest.raises(FieldRangeError):
        credit_token(_key(STA), STA, TABLES, 0, rnd, tid, units)


def test_each_way_to_make_a_token_keeps_to_its_own_subclasses() -> None:
    """Units, money, management and tests each refuse what belongs to another."""
    key = _key(STA)
    with pytest.raises(UnsupportedError):
        credit_token(key, STA, TABLES, 4, 5, 1, 1)
    with pytest.raises(UnsupportedError):
        currency_token(key, STA, TABLES, 3, 1, 1)
    with pytest.raises(UnsupportedError):
        management_token(key, STA, TABLES, 3, 5, 1, 1)
    with pytest.raises(UnsupportedError):
        meter_test_token(6, 1, 0)


@pytest.mark.parametrize("subclass", [8, 15])
def test_a_credit_for_no_register_is_not_read(subclass: int) -> None:
    """A class 0 token of a sub-class without meaning is told from a wrong checksum."""
    block = encrypt_block(build_block(0, subclass, 0), _key(STA), STA, TABLES)
    with pytest.raises(UnsupportedError):
        decode(to_digits(transpose(block, 0)), _key(STA), STA, TABLES)


def test_class_3_and_makers_own_tests_are_not_read() -> None:
    """What the standard reserves has no meaning here."""
    with pytest.raises(UnsupportedError):
        decode(to_digits(transpose(0, 3)), _key(STA), STA, TABLES)
    with pytest.raises(UnsupportedError):
        decode(to_digits(transpose(build_block(1, 6, 0), 1)), _key(STA), STA, TABLES)


def test_extended_values_are_laid_out() -> None:
    """A control has its index above ten bits; a flag stands under index 63 with its value last."""
    assert extended_control(0, 123) == 0x007B
    assert extended_control(62, 1023) == 0xFBFF
    assert extended_flag(0, is_set=True) == 0xFC01
    assert extended_flag(511, is_set=False) == 0xFFFE
    with pytest.raises(FieldRangeError):
        extended_control(63, 0)
    with pytest.raises(FieldRangeError):
        extended_flag(512, is_set=True)


new_keys = st.builds(
    NewKey,
    decoder_key=st.binary(min_size=16, max_size=16),
    supply_group_code=st.integers(0, 999_999),
    key_revision_number=st.integers(1, 9),
    key_type=st.sampled_from(KeyType),
    tariff_index=st.integers(0, 99),
    key_expiry_number=st.integers(0, 255),
    is_rollover=st.booleans(),
)


@given(new_keys)
@settings(deadline=None)
def test_four_sections_carry_a_long_key(new: NewKey) -> None:
    """Every attribute of the new key can be read back from the four tokens."""
    sections = [
        decode(token, _key(MISTY1), MISTY1, TABLES) for token in key_change_tokens(_key(MISTY1), MISTY1, TABLES, new)
    ]
    first, second, third, fourth = (section for section in sections if isinstance(section, KeySection))
    words = [section.key_word or 0 for section in (first, third, fourth, second)]
    assert b"".join(word.to_bytes(4, "big") for word in words) == new.decoder_key
    assert first.key_expiry_high is not None
    assert second.key_expiry_low is not None
    assert first.key_expiry_high << 4 | second.key_expiry_low == new.key_expiry_number
    assert (first.key_revision_number, first.key_type, first.is_rollover, first.is_triplet) == (
        new.key_revision_number,
        new.key_type,
        new.is_rollover,
        False,
    )
    assert second.tariff_index == new.tariff_index
    assert third.sgc_part is not None
    assert fourth.sgc_part is not None
    assert fourth.sgc_part << 12 | third.sgc_part == new.supply_group_code


@given(new_keys, st.booleans())
@settings(deadline=None)
def test_a_pair_or_triplet_carries_a_short_key(long: NewKey, is_triplet: bool) -> None:
    """A 64-bit key takes two tokens, and a third only to tell the supply group code."""
    new = replace(long, decoder_key=long.decoder_key[:8])
    tokens = key_change_tokens(_key(STA), STA, TABLES, new, is_triplet=is_triplet)
    sections = [decode(token, _key(STA), STA, TABLES) for token in tokens]
    assert all(isinstance(section, KeySection) for section in sections)
    assert len(tokens) == 2 + is_triplet
    if is_triplet:
        third = sections[2]
        assert isinstance(third, KeySection)
        assert (third.sgc_part, third.key_word) == (new.supply_group_code, None)


@given(new_keys)
@settings(deadline=None)
def test_a_key_never_shows(new: NewKey) -> None:
    """Neither the new key nor the sections of it print their key."""
    assume(len(set(new.decoder_key)) > 4)
    section = decode(key_change_tokens(_key(MISTY1), MISTY1, TABLES, new)[0], _key(MISTY1), MISTY1, TABLES)
    assert "key=" not in repr(new)
    assert "key_word" not in repr(section)


def test_a_key_change_of_the_wrong_length_is_refused() -> None:
    """A long key for a short meter, a triplet for a long key: both are refused."""
    new = NewKey(
        decoder_key=bytes(16),
        supply_group_code=1,
        key_revision_number=1,
        key_type=KeyType.UNIQUE,
        tariff_index=1,
        key_expiry_number=255,
        is_rollover=False,
    )
    with pytest.raises(FieldRangeError):
        key_change_tokens(_key(STA), STA, TABLES, new)
    with pytest.raises(UnsupportedError):
        key_change_tokens(_key(MISTY1), MISTY1, TABLES, new, is_triplet=True)
    with pytest.raises(FieldRangeError):
        replace(new, decoder_key=bytes(7))
