"""The partner's end of a change of keys: what its file keeps, and what it makes of the switch's answers."""

from pathlib import Path

import pytest

from acquirers.session_key import KeyOffer
from messages.key_wrapping import CannotUnwrap, check_value, unwrap, wrap
from pos.session_key import HostKeys, SessionKeyFile
from vending.ports import MacScheme
from vending.secret import Secret

ZONE, FIRST = Secret(bytes(range(16))), Secret(bytes(range(16, 32)))
NEXT = Secret(bytes(range(32, 48)))
SCHEMES = [MacScheme.X9_19, MacScheme.AES_CMAC]


def _random(octets: int) -> bytes:
    return bytes(range(64, 64 + octets))


@pytest.fixture(params=SCHEMES)
def scheme(request: pytest.FixtureRequest) -> str:
    """Each scheme."""
    return str(request.param)


@pytest.fixture
def keys(scheme: str, tmp_path: Path) -> SessionKeyFile:
    """The file of a host that has only what people gave it."""
    return SessionKeyFile.create(tmp_path / "keys.json", HostKeys(scheme=scheme, zone_key=ZONE, key=FIRST))


def _told(scheme: str, generation: int, key: Secret[bytes] = NEXT) -> KeyOffer:
    return KeyOffer(generation=generation, kcv=check_value(scheme, key.reveal()), wrapped=wrap(scheme, ZONE, key))


def _again(tmp_path: Path) -> HostKeys:
    return SessionKeyFile.open(tmp_path / "keys.json").keys


def test_a_key_that_was_asked_for_is_on_disk_before_it_is_used(
    keys: SessionKeyFile, scheme: str, tmp_path: Path
) -> None:
    """The file is for its owner only, and what signs is the new key."""
    before = keys.signer.sign(b"data")
    keys.accept(_told(scheme, 1))
    assert _again(tmp_path) == keys.keys
    assert (keys.keys.generation, keys.keys.key.reveal(), keys.keys.kcv) == (1, NEXT.reveal(), _told(scheme, 1).kcv)
    assert keys.signer.sign(b"data") != before
    assert (tmp_path / "keys.json").stat().st_mode & 0o777 == 0o600


def test_a_key_whose_answer_was_lost_is_given_again(keys: SessionKeyFile, scheme: str, tmp_path: Path) -> None:
    """Also after a power cut; the next one is another only when it was taken."""
    offer = keys.give(_random)
    after = SessionKeyFile.open(tmp_path / "keys.json")
    assert after.give(lambda octets: bytes(octets)) == offer
    key = unwrap(scheme, ZONE, offer.wrapped, offer.kcv)
    after.accept(KeyOffer(generation=1, kcv=offer.kcv))
    assert (after.keys.key.reveal(), after.keys.generation, after.keys.given) == (key.reveal(), 1, None)
    assert after.give(lambda octets: bytes(range(octets))).generation == 2


def test_an_answer_about_another_key_changes_nothing(keys: SessionKeyFile, scheme: str, tmp_path: Path) -> None:
    """A wrong check value, a key that was not sent, a key under another zone key."""
    before = keys.keys
    wrong = KeyOffer(generation=1, kcv="000000", wrapped=_told(scheme, 1).wrapped)
    with pytest.raises(CannotUnwrap):
        keys.accept(wrong)
    with pytest.raises(ValueError, match="another key"):
        keys.accept(KeyOffer(generation=1, kcv="000000"))
    assert keys.keys == before == _again(tmp_path)


def test_a_change_begins_with_what_another_terminal_left(keys: SessionKeyFile, scheme: str, tmp_path: Path) -> None:
    """Two terminals share the file: the second does not write the first one's key away."""
    second = SessionKeyFile.open(tmp_path / "keys.json")
    with keys.exclusive():
        keys.accept(_told(scheme, 1))
    with second.exclusive():
        assert second.give(_random).generation == 2
    assert _again(tmp_path).key.reveal() == NEXT.reveal()


def test_a_file_of_another_version_is_refused(keys: SessionKeyFile, tmp_path: Path) -> None:
    """Rather than read wrongly."""
    path = tmp_path / "keys.json"
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(ValueError, match="another version"):
        SessionKeyFile.open(path)


def test_no_key_is_in_a_repr(keys: SessionKeyFile) -> None:
    """Of what tracebacks may show."""
    keys.give(_random)
    shown = repr((keys.keys, keys.give(_random), _told(MacScheme.X9_19, 1)))
    for secret in (ZONE.reveal(), FIRST.reveal(), _random(16)):
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown
