"""The virtual meter: one file, one token at a time, nothing forgotten and nothing shown."""

import json
import multiprocessing
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from meters.state_file import MeterFileError
from meters.virtual import KEY_CHANGE_TIMEOUT_SECONDS, MeterBlueprint, VirtualMeter
from sts import (
    BaseDate,
    EncryptionAlgorithm,
    FieldRangeError,
    KeyType,
    NewKey,
    UnsupportedError,
    credit_token,
    key_change_tokens,
    load_tables,
    meter_test_token,
    tid_at,
)
from sts.meter import MeterResult
from sts.words import decimal_text
from vending.secret import Secret

KEY = bytes.fromhex("929bd3a415c9420a05ec5ee9f3ce91c3")
NEW_KEY = bytes.fromhex("000102030405060708090a0b0c0d0e0f")
MADE = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
NOW = MADE + timedelta(days=30)
MISTY1 = EncryptionAlgorithm.MISTY1
TABLES = load_tables()


def _make(path: Path, **changes: object) -> VirtualMeter:
    fields: dict[str, object] = {
        "meter_number": "58000079523",
        "pan": "600727580000795237",
        "decoder_key": Secret(KEY),
        "encryption_algorithm": MISTY1,
        "service": 0,
        "supply_group_code": 201457,
        "key_revision_number": 1,
        "key_type": KeyType.UNIQUE,
        "tariff_index": 1,
        "base_date": BaseDate.Y2014,
        "made_at": MADE,
        **changes,
    }
    return VirtualMeter.manufacture(path, MeterBlueprint(**fields))  # type: ignore[arg-type]


def _token(at: datetime = NOW, units: int = 438, subclass: int = 0, key: bytes = KEY) -> str:
    return credit_token(key, MISTY1, TABLES, subclass, 5, tid_at(at, BaseDate.Y2014), units)


def test_a_token_is_accepted_once_and_remembered(tmp_path: Path) -> None:
    """The credit is there after the meter is opened anew, and the same token is refused from then on."""
    path = tmp_path / "meters" / "58000079523.json"
    first = _make(path).enter(_token(), at=NOW)
    assert (first.result, first.is_accepted) == (MeterResult.ACCEPT, True)
    assert (first.credit_added_tenths, first.credit_total_tenths) == (438, 438)
    assert first.sentence_es == "Aceptado: +43,8 kWh. Saldo: 43,8 kWh."
    assert first.sentence_en == "Accepted: +43.8 kWh. Balance: 43.8 kWh."
    again = VirtualMeter.open(path)
    assert again.credit_tenths == 438
    second = again.enter(_token(), at=NOW)
    assert (second.result.value, second.credit_added_tenths, second.credit_total_tenths) == ("UsedError", 0, 438)
    assert "ya fue usado" in second.sentence_es
    third = again.enter(_token(NOW + timedelta(minutes=5), 2), at=NOW)
    assert (third.credit_added_tenths, third.credit_total_tenths) == (2, 440)


@pytest.mark.parametrize(
    ("token", "result"),
    [
        ("12345", "FormatError"),
        ("no es un PIN", "FormatError"),
        ("99999999999999999999", "FormatError"),
        (_token(key=NEW_KEY), "CRCError"),
        (_token(MADE - timedelta(minutes=1)), "OldError"),
        (_token(MADE), "UsedError"),
        (_token(subclass=1), "FunctionError"),
    ],
)
def test_a_refused_token_changes_nothing_on_disk(tmp_path: Path, token: str, result: str) -> None:
    """Whatever is refused leaves the file byte for byte, and its sentence says so in both languages."""
    path = tmp_path / "m.json"
    meter = _make(path)
    before = path.read_bytes()
    answer = meter.enter(token, at=NOW)
    assert (answer.result.value, answer.is_accepted, answer.credit_added_tenths) == (result, False, 0)
    assert path.read_bytes() == before
    assert answer.sentence_es.startswith("Rechazado: ")
    assert answer.sentence_en.startswith("Refused: ")


def test_a_water_meter_speaks_in_cubic_metres(tmp_path: Path) -> None:
    """The register and the unit are those of the service, and groups of four are how people type."""
    meter = _make(tmp_path / "m.json", service=1)
    token = _token(subclass=1, units=5)
    answer = meter.enter(" ".join(token[i : i + 4] for i in range(0, 20, 4)), at=NOW)
    assert answer.sentence_es == "Aceptado: +0,5 m³. Saldo: 0,5 m³."
    assert answer.credit_total_tenths == 5


def test_a_display_test_adds_nothing(tmp_path: Path) -> None:
    """A class 1 token is accepted without credit."""
    answer = _make(tmp_path / "m.json").enter(meter_test_token(0, 1, 0), at=NOW)
    assert (answer.is_accepted, answer.credit_added_tenths, answer.sentence_es) == (
        True,
        0,
        "Aceptado: prueba: interruptor.",
    )


def test_a_key_change_survives_between_openings(tmp_path: Path) -> None:
    """Sections typed in separate runs add up, until they lie too long."""
    path = tmp_path / "m.json"
    _make(path)
    new = NewKey(
        decoder_key=NEW_KEY,
        supply_group_code=203557,
        key_revision_number=2,
        key_type=KeyType.UNIQUE,
        tariff_index=9,
        key_expiry_number=255,
        is_rollover=False,
    )
    tokens = key_change_tokens(KEY, MISTY1, TABLES, new)
    late = timedelta(seconds=KEY_CHANGE_TIMEOUT_SECONDS + 1)
    results = [VirtualMeter.open(path).enter(token, at=NOW).result.value for token in tokens[:3]]
    assert results == ["1stKCT", "2ndKCT", "3rdKCT"]
    assert VirtualMeter.open(path).enter(tokens[3], at=NOW + late).result.value == "4thKCT"
    results = [VirtualMeter.open(path).enter(token, at=NOW + late).result.value for token in tokens[:3]]
    assert results == ["1stKCT", "2ndKCT", "Accept"]
    changed = VirtualMeter.open(path)
    assert (changed.state.key.supply_group_code, changed.state.key.tariff_index) == (203557, 9)
    assert changed.enter(_token(), at=NOW).result is MeterResult.CRC_ERROR
    assert changed.enter(_token(key=NEW_KEY), at=NOW).result is MeterResult.ACCEPT


def test_a_lockout_survives_between_openings(tmp_path: Path) -> None:
    """Taking the batteries out does not help a guesser."""
    path = tmp_path / "m.json"
    _make(path, has_lockout=True)
    for _ in range(3):
        assert VirtualMeter.open(path).enter(_token(key=NEW_KEY), at=NOW).result is MeterResult.CRC_ERROR
    assert VirtualMeter.open(path).enter(_token(), at=NOW + timedelta(seconds=9)).result is MeterResult.LOCKOUT_ERROR
    assert VirtualMeter.open(path).enter(_token(), at=NOW + timedelta(seconds=10)).is_accepted


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    """The file holds a key: nobody else may read it, nor its directory, nor what is written beside it."""
    path = tmp_path / "meters" / "m.json"
    _make(path).enter(_token(), at=NOW)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()] == [0o600, 0o600]


def test_the_key_does_not_show(tmp_path: Path) -> None:
    """Neither the meter, nor its state, nor an answer prints the decoder key."""
    meter = _make(tmp_path / "m.json")
    shown = f"{meter!r} {meter.state!r} {meter.enter(_token(), at=NOW)!r}"
    assert KEY.hex() not in shown
    assert repr(KEY)[2:-1] not in shown


def test_a_meter_is_made_once(tmp_path: Path) -> None:
    """A second manufacture at the same place is refused and the first meter stays."""
    path = tmp_path / "m.json"
    _make(path).enter(_token(), at=NOW)
    with pytest.raises(MeterFileError, match="already"):
        _make(path)
    assert VirtualMeter.open(path).credit_tenths == 438


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"meter_number": "58000079524"}, FieldRangeError),
        ({"pan": "600727580000795238"}, FieldRangeError),
        ({"decoder_key": Secret(KEY[:8])}, FieldRangeError),
        ({"tables": "none-such"}, UnsupportedError),
        ({"made_at": datetime(2013, 1, 1, tzinfo=UTC)}, FieldRangeError),
    ],
)
def test_an_impossible_meter_leaves_no_file(tmp_path: Path, changes: dict[str, object], error: type[Exception]) -> None:
    """Number, PAN, key, tables and date are checked before anything is written."""
    path = tmp_path / "m.json"
    with pytest.raises(error):
        _make(path, **changes)
    assert not path.exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 2}', '{"format": 1}', '{"format": 1, "state": {}}'])
def test_a_file_that_is_no_meter_is_refused(tmp_path: Path, content: str) -> None:
    """A broken file is an error that names the file, not a meter with guessed contents."""
    path = tmp_path / "m.json"
    path.write_text(content)
    with pytest.raises(MeterFileError, match=r"m\.json"):
        VirtualMeter.open(path)


def test_a_missing_meter_is_refused(tmp_path: Path) -> None:
    """Opening what is not there says so."""
    with pytest.raises(MeterFileError, match="no virtual meter"):
        VirtualMeter.open(tmp_path / "m.json")


def test_an_error_about_a_broken_file_does_not_show_its_key(tmp_path: Path) -> None:
    """A file that cannot be read whole is refused without quoting it."""
    path = tmp_path / "m.json"
    _make(path)
    document = json.loads(path.read_text())
    document["state"]["key"]["decoder_key"] += "zz"
    path.write_text(json.dumps(document))
    with pytest.raises(MeterFileError) as caught:
        VirtualMeter.open(path)
    assert KEY.hex() not in str(caught.value)


def _enter_in_process(path: Path, token: str) -> str:
    return VirtualMeter.open(path).enter(token, at=NOW).result.value


def test_two_people_at_one_meter_get_one_credit(tmp_path: Path) -> None:
    """Eight processes type the same token at the same moment: one is accepted, and the register holds it once."""
    path = tmp_path / "m.json"
    _make(path)
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        results = pool.starmap(_enter_in_process, [(path, _token())] * 8)
    assert sorted(results) == ["Accept"] + ["UsedError"] * 7
    assert VirtualMeter.open(path).credit_tenths == 438


@pytest.mark.parametrize(
    ("amount", "decimals", "text"),
    [(0, 1, "0,0"), (5, 1, "0,5"), (-5, 1, "-0,5"), (12345, 1, "1234,5"), (-100_000, 5, "-1,00000"), (1, 5, "0,00001")],
)
def test_amounts_are_written_with_a_comma(amount: int, decimals: int, text: str) -> None:
    """Tenths and hundred-thousandths keep their zeros and their sign."""
    assert decimal_text(amount, decimals, ",") == text
