"""What each algorithm of a vector file computes: parsed JSON in, JSON out. See `sts.vectors` for the forms."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from Crypto.Cipher import DES

from sts import misty1, sta
from sts.amount import decode_currency, decode_units, encode_currency, encode_units
from sts.codes import (
    CREDIT_CLASS,
    KEY_NEVER_EXPIRES,
    MANAGEMENT_CLASS,
    BaseDate,
    EncryptionAlgorithm,
    KeyAlgorithm,
    KeyType,
)
from sts.crc import crc16_arc, crc16_sts, crc16_sts_currency
from sts.decoder_key import DecoderKeyInputs, derive_decoder_key
from sts.errors import FieldRangeError, UnsupportedError, require_range
from sts.framing import TOKEN_MAX, transpose, untranspose
from sts.key_change import NewKey, key_change_tokens
from sts.meter import (
    CREDIT_LIMIT_TENTHS,
    CURRENCY_LIMIT,
    TID_STORE_SIZE,
    MeterKey,
    MeterRules,
    enter,
    manufacture,
)
from sts.mint import (
    credit_token,
    currency_token,
    extended_control,
    extended_flag,
    management_token,
    meter_test_token,
)
from sts.pan import is_luhn_valid, luhn_digit, pan_of_meter, parse_pan
from sts.tables import IEC_SAMPLE, PRODUCTION, StaTables, load_tables
from sts.tid import instant_of, tid_at

Json = Any
Inputs = Mapping[str, Any]

_TIME_FORMAT = "%Y-%m-%d %H:%M"
_TABLE_NAMES = {"sample": IEC_SAMPLE}

_USUAL_RND = 5
"""The random nibble of every published vector, for those that do not repeat it."""


def compute(algorithm: str, inputs: Inputs) -> Json:
    """Compute one vector.

    Raises:
        StsError: the inputs are refused.
        LookupError, ValueError, TypeError: there is no such algorithm, or an input is missing or is not what it should be.
    """
    whole = _WHOLE_NAMES.get(algorithm)
    if whole is not None:
        return whole(inputs)
    kind, *parts = algorithm.split("-")
    named = {key: value for part in parts for key, value in _read_part(part).items()}
    by_kind = _KINDS.get(kind)
    if by_kind is None:
        raise LookupError(f"unknown algorithm {algorithm!r}")
    return by_kind(inputs, named)


def _read_part(part: str) -> dict[str, int]:
    if part == "decoderkey":
        return {}
    for prefix, field in (("EA", "ea"), ("DKGA", "dkga")):
        if part.startswith(prefix) and part[len(prefix) :].isdigit():
            return {field: int(part[len(prefix) :])}
    raise LookupError(f"unknown part {part!r} of an algorithm")


def _merged(inputs: Inputs, named: Mapping[str, int]) -> dict[str, Any]:
    """The inputs, with what only the algorithm's name says; both must agree where both speak."""
    for field, value in named.items():
        if inputs.get(field, value) != value:
            raise ValueError(f"the name says {field} {value}, the inputs say {inputs[field]}")
    return {**inputs, **named}


def _hex(text: str, octets: int) -> bytes:
    data = bytes.fromhex(text)
    if len(data) != octets:
        raise FieldRangeError(f"{octets} octets were expected, not {len(data)}")
    return data


def _integer(value: Json) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError(f"{value!r} is not a whole number")
    return int(value)


def _from_list(name: str, enum: Callable[[int], Any], value: Json) -> Any:
    try:
        return enum(_integer(value))
    except ValueError:
        raise UnsupportedError(f"{name} {value} is not known here") from None


def _ea(inputs: Inputs) -> EncryptionAlgorithm:
    ea: EncryptionAlgorithm = _from_list("encryption algorithm", EncryptionAlgorithm, inputs["ea"])
    return ea


def _base_date(inputs: Inputs) -> BaseDate:
    base: BaseDate = _from_list("base date", BaseDate, _integer(inputs["bdt"]) % 100)
    return base


def _tables(inputs: Inputs) -> StaTables:
    name = str(inputs.get("tables", PRODUCTION))
    return load_tables(_TABLE_NAMES.get(name, name))


def _instant(text: str) -> datetime:
    return datetime.strptime(text[:16].replace("T", " "), _TIME_FORMAT).replace(tzinfo=UTC)


def _data(inputs: Inputs) -> bytes:
    return str(inputs["ascii"]).encode("ascii") if "ascii" in inputs else bytes.fromhex(inputs["data"])


def _decoder_key(inputs: Inputs) -> bytes:
    ea = _ea(inputs)
    if "decoder_key" in inputs:
        return _hex(inputs["decoder_key"], ea.key_octets)
    public = DecoderKeyInputs(
        key_algorithm=_from_list("decoder key algorithm", KeyAlgorithm, inputs["dkga"]),
        pan=inputs["pan"],
        supply_group_code=_integer(inputs["sgc"]),
        tariff_index=_integer(inputs["ti"]),
        key_revision_number=_integer(inputs["krn"]),
        key_type=_from_list("key type", KeyType, inputs["kt"]),
        base_date=_base_date({"bdt": BaseDate.Y1993, **inputs}),
        encryption_algorithm=ea,
    )
    return derive_decoder_key(public, bytes.fromhex(inputs["vk"]))


def _crc_currency(inputs: Inputs) -> Json:
    return f"{crc16_sts_currency(_data(inputs)):04x}"


def _amount_field(inputs: Inputs) -> Json:
    if "field" in inputs:
        return decode_units(int(inputs["field"], 16))
    return f"{encode_units(_integer(inputs['units'])):04x}"


def _currency_field(inputs: Inputs) -> Json:
    if "field" in inputs:
        return decode_currency(int(inputs["field"], 16), int(str(inputs["extra"]), 16))
    value, extra = encode_currency(_integer(inputs["currency_units"]))
    return f"{value:04x}/{extra:x}"


def _pan(inputs: Inputs) -> Json:
    is_test = bool(inputs.get("compliance", False))
    if "drn" in inputs:
        return pan_of_meter(inputs["drn"], is_compliance_test=is_test)
    return parse_pan(inputs["pan"], is_compliance_test=is_test).drn


def _tid(inputs: Inputs) -> Json:
    if "tid" in inputs:
        return instant_of(_integer(inputs["tid"]), _base_date(inputs)).strftime(_TIME_FORMAT)
    return _tid_of(inputs)


def _tid_of(inputs: Inputs) -> int:
    if "tid" in inputs:
        return _integer(inputs["tid"])
    return tid_at(_instant(inputs["time"]), _base_date(inputs), is_special=bool(inputs.get("special", False)))


def _des(inputs: Inputs) -> Json:
    cipher = DES.new(_hex(inputs["key"], 8), DES.MODE_ECB)  # noqa: S304 - a test vector of the building block
    name, turn = ("ciphertext", cipher.decrypt) if "ciphertext" in inputs else ("plaintext", cipher.encrypt)
    return "".join(turn(block.to_bytes(8, "big")).hex() for block in _blocks(inputs[name]))


def _blocks(text: str) -> list[int]:
    """The 64-bit blocks of a text in hexadecimal."""
    data = bytes.fromhex(text)
    if not data or len(data) % 8:
        raise FieldRangeError(f"a text is a number of blocks of 8 octets, not {len(data)} octets")
    return [int.from_bytes(data[i : i + 8], "big") for i in range(0, len(data), 8)]


def _block_cipher(inputs: Inputs, encrypt: Callable[[int, bytes], int], decrypt: Callable[[int, bytes], int]) -> Json:
    """A 64-bit cipher on its own: block by block, or one block with the transposition where the inputs name a class."""
    key = bytes.fromhex(inputs["key"])
    if "class" not in inputs:
        name, turn = ("ciphertext", decrypt) if "ciphertext" in inputs else ("plaintext", encrypt)
        return "".join(f"{turn(block, key):016x}" for block in _blocks(inputs[name]))
    if "ciphertext" in inputs:
        number = int(inputs["ciphertext"], 16)
        require_range("ciphertext", number, 0, TOKEN_MAX)
        return f"{decrypt(untranspose(number)[0], key):016x}"
    token_class = _integer(inputs["class"])
    require_range("class", token_class, 0, 3)
    (block,) = _blocks(inputs["plaintext"])
    return f"{transpose(encrypt(block, key), token_class):017x}"


def _misty1(inputs: Inputs) -> Json:
    return _block_cipher(inputs, misty1.encrypt, misty1.decrypt)


def _sta(inputs: Inputs) -> Json:
    tables = _tables(inputs)
    return _block_cipher(
        inputs, lambda block, key: sta.encrypt(block, key, tables), lambda block, key: sta.decrypt(block, key, tables)
    )


def _transposition(inputs: Inputs) -> Json:
    if "number" in inputs:
        block, token_class = untranspose(int(inputs["number"], 16))
        return f"{block:016x}/{token_class}"
    return f"{transpose(int.from_bytes(_hex(inputs['block'], 8), 'big'), _integer(inputs['class'])):017x}"


def _class1(inputs: Inputs) -> Json:
    return meter_test_token(
        _integer(inputs["subclass"]), int(str(inputs["control"]), 16), _integer(inputs.get("mfr", 0))
    )


def _dkga(algorithm: int) -> Callable[[Inputs], Json]:
    def derive(inputs: Inputs) -> Json:
        return _decoder_key({"ea": 7, **_merged(inputs, {"dkga": algorithm})}).hex()

    return derive


def _token(token_class: int | None) -> Callable[[Inputs, Mapping[str, int]], Json]:
    """Tokens with an identifier; *token_class* is what the algorithm's name says, None where only the inputs do."""

    def make(inputs: Inputs, named: Mapping[str, int]) -> Json:
        asked = _merged(inputs, named if token_class is None else {**named, "class": token_class})
        key, ea, tables = _decoder_key(asked), _ea(asked), _tables(asked)
        subclass, tid = _integer(asked["subclass"]), _tid_of(asked)
        if asked["class"] not in (CREDIT_CLASS, MANAGEMENT_CLASS):
            raise UnsupportedError(f"class {asked['class']} tokens are not encrypted")
        if "currency_units" in asked:
            if asked["class"] != CREDIT_CLASS:
                raise UnsupportedError("only class 0 carries money")
            return currency_token(key, ea, tables, subclass, tid, _integer(asked["currency_units"]))
        rnd = _integer(asked.get("rnd", _USUAL_RND))
        if asked["class"] == CREDIT_CLASS:
            return credit_token(key, ea, tables, subclass, rnd, tid, _units_of(asked))
        return management_token(key, ea, tables, subclass, rnd, tid, _management_value(asked))

    return make


def _management_value(asked: Inputs) -> int:
    if "raw16" in asked:
        return int(asked["raw16"], 16)
    if "flag" in asked:
        return extended_flag(_integer(asked["flag"]), is_set=bool(asked["flag_value"]))
    if "index" in asked:
        return extended_control(_integer(asked["index"]), _integer(asked["control_value"]))
    return encode_units(_integer(asked["units"]))


def _units_of(asked: Inputs) -> int:
    return decode_units(int(asked["raw16"], 16)) if "raw16" in asked else _integer(asked["units"])


def _key_change(inputs: Inputs, named: Mapping[str, int]) -> Json:
    old = _merged(inputs["old"], named)
    new = {**old, **inputs["new"]}
    if _ea(old) is not _ea(new):
        raise UnsupportedError("a key change does not change the encryption algorithm")
    # A decoder key given as such belongs to one side only; the other must be given or derivable too.
    if "decoder_key" in old and "decoder_key" not in inputs["new"]:
        del new["decoder_key"]
    new_key = NewKey(
        decoder_key=_decoder_key(new),
        supply_group_code=_integer(new["sgc"]),
        key_revision_number=_integer(new["krn"]),
        key_type=_from_list("key type", KeyType, new["kt"]),
        tariff_index=_integer(new["ti"]),
        key_expiry_number=_integer(inputs.get("ken", KEY_NEVER_EXPIRES)),
        is_rollover=bool(inputs.get("ro", 0)),
    )
    is_triplet = bool(inputs.get("triplet", False))
    return list(key_change_tokens(_decoder_key(old), _ea(old), _tables(inputs), new_key, is_triplet=is_triplet))


def _meter_behaviour(inputs: Inputs) -> Json:
    meter = inputs["meter"]
    limit = inputs.get("limit")
    rules = MeterRules(
        encryption_algorithm=_ea(meter),
        credit_registers=frozenset(inputs.get("registers", [0])),
        maker_code=_integer(inputs.get("mfr", 0)),
        is_magnetic_card=bool(inputs.get("magnetic", False)),
        credit_limit_tenths=CREDIT_LIMIT_TENTHS if limit is None else _integer(limit),
        currency_limit=CURRENCY_LIMIT if limit is None else _integer(limit),
        tid_store_size=_integer(inputs.get("store", TID_STORE_SIZE)),
        has_lockout=bool(inputs.get("lockout", False)),
    )
    key = MeterKey(
        decoder_key=_decoder_key(meter),
        key_type=KeyType(_integer(meter["kt"])),
        key_revision_number=_integer(meter["krn"]),
        tariff_index=_integer(meter["ti"]),
        key_expiry_number=_integer(inputs.get("ken", KEY_NEVER_EXPIRES)),
        supply_group_code=_integer(meter["sgc"]),
    )
    state = manufacture(rules, key, tid_at(_instant(inputs["made"]), _base_date(meter)))
    tables = _tables(inputs)
    results = []
    for token in inputs["tokens"]:
        entered = enter(state, str(token), tables)
        state = entered.state
        results.append(entered.result.value)
    return results


_WHOLE_NAMES: Mapping[str, Callable[[Inputs], Json]] = {
    "AmountField": _amount_field,
    "CurrencyField": _currency_field,
    "CRC16-ARC": lambda inputs: f"{crc16_arc(_data(inputs)):04x}",
    "CRC16-STS": lambda inputs: f"{crc16_sts(_data(inputs)):04x}",
    "CRC16-STS-C": _crc_currency,
    "CRC-C": _crc_currency,
    "CRC_C": _crc_currency,
    "Luhn": lambda inputs: luhn_digit(inputs["digits"]),
    "Luhn-validate": lambda inputs: is_luhn_valid(inputs["digits"]),
    "PAN": _pan,
    "TID": _tid,
    "DES": _des,
    "MISTY1": _misty1,
    "STA": _sta,
    "EA07": _sta,
    "EA11": _misty1,
    "DKGA02": _dkga(KeyAlgorithm.DKGA02),
    "DKGA04": _dkga(KeyAlgorithm.DKGA04),
    "Transposition": _transposition,
    "Class1Token": _class1,
    "MeterBehaviour": _meter_behaviour,
}

_KINDS: Mapping[str, Callable[[Inputs, Mapping[str, int]], Json]] = {
    "Token": _token(None),
    "TokenClass0": _token(CREDIT_CLASS),
    "TokenClass1": lambda inputs, _: _class1(inputs),
    "TokenClass2": _token(MANAGEMENT_CLASS),
    "TokenCurrency": _token(CREDIT_CLASS),
    "TokenExtended": _token(MANAGEMENT_CLASS),
    "KeyChange": _key_change,
}
