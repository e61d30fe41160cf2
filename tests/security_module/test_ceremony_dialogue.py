"""The ceremonies line by line: who sees what, what is refused, and that nothing is decided before the last word."""

import os
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from messages.security_module import MacScheme
from security_module.ceremony_dialogue import Outcome, more_keys, new_custodians, new_module, unseal
from security_module.ceremony_texts import texts_in
from security_module.custody import CannotReplace, Opened, add_vending
from security_module.dialogue import TRIES_MAX, Aborted
from security_module.fingerprints import fingerprint
from security_module.key_entry import is_weak
from security_module.registers import mac_check_value, vending_check_value, with_odd_parity
from security_module.sealed_store import Header
from security_module.shares import ShareError, read_share
from sts.codes import BaseDate, EncryptionAlgorithm, KeyAlgorithm, KeyType
from tests.security_module.people import (
    KCV_20,
    KEY_20,
    MAC,
    NEW_MODULE,
    SHARE,
    SHARES,
    VENDING,
    WORD,
    Screen,
    lead,
)
from vending.secret import Secret

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SAY = texts_in("es")
MAC_KCV = mac_check_value(MacScheme.AES_CMAC, bytes([0xAB ^ 0xCD]) * 16)
WHOLE = (*NEW_MODULE, *VENDING, *MAC, MAC_KCV, "0", WORD, *SHARES, WORD)


@pytest.fixture(scope="module")
def made() -> tuple[Outcome, Screen]:
    """One ceremony of three custodians, with a vending and a MAC key."""
    screen = Screen()
    return lead(new_module(SAY, now=NOW, random_octets=os.urandom), WHOLE, screen), screen


def test_a_whole_ceremony(made: tuple[Outcome, Screen]) -> None:
    """The key is the exclusive or of the components, with the attributes that were typed, and no test key."""
    keys = made[0].opened.keys
    register = keys.vending[21]
    assert register.key.reveal() == bytes([0x11 ^ 0x2F]) * 20
    assert (register.supply_group_code, register.key_revision_number, register.key_expiry_number) == (201457, 1, 255)
    assert (register.base_date, register.key_type) == (BaseDate.Y2014, KeyType.UNIQUE)
    assert register.encryption_algorithms == frozenset(EncryptionAlgorithm)
    assert (register.units_per_token_max_tenths, register.units_limit_tenths) == (9_999, 1_000_000)
    assert (register.is_test, keys.mac[30].is_test, keys.mac[30].is_diversified) == (False, False, True)
    assert keys.mac[30].key.reveal() == bytes([0xAB ^ 0xCD]) * 16


def test_each_share_stands_alone_on_its_screen(made: tuple[Outcome, Screen]) -> None:
    """No page holds two shares, and none is left when the next person comes; secrets are asked for without echo."""
    outcome, screen = made
    assert len(screen.shares) == 3
    for page in screen.pages:
        assert sum(share.split()[5] in page for share in screen.shares) <= 1
        for component in KEY_20:
            assert component not in page.lower()
    assert not any(share.split()[5] in screen.pages[-1] for share in screen.shares)
    secret = [question.text for question in screen.questions if question.is_secret]
    assert len(secret) == 2 + 2 + 3
    shares = [read_share(Secret(each)) for each in screen.shares]
    kek = outcome.opened.kek
    header = Header(origin=kek.origin, kcv=kek.kcv)
    assert header.kek_from_shares(shares[1:]).key == kek.key


def test_the_printed_record_holds_no_secret(made: tuple[Outcome, Screen]) -> None:
    """Who, when, registers, check values and hashes are there; no component, key or share is."""
    outcome, screen = made
    text = outcome.protocol
    for wanted in ("Olga", "Ana", "Beto", "Caro", "2026-03-01", KCV_20.upper(), MAC_KCV.upper(), "2 de 3", "201457"):
        assert wanted in text
    assert fingerprint(outcome.opened.keys) in text
    for secret in (*screen.shares, *(share.replace(" ", "") for share in screen.shares), *KEY_20, "3e3e3e"):
        assert secret.lower() not in text.lower()


def test_what_was_typed_back_wrongly_is_shown_again() -> None:
    """A custodian who wrote a digit wrongly finds it out while he can still see the share; three times, and all is ended."""
    start = (*NEW_MODULE, "0", WORD)
    lines = (*start, "", "", "0000", "", SHARE, "", *SHARES[4:], WORD)
    assert lead(new_module(SAY, now=NOW, random_octets=os.urandom), lines).opened.keys.vending == {}
    with pytest.raises(Aborted):
        lead(new_module(SAY, now=NOW, random_octets=os.urandom), (*start, "", *("", "wrong") * 3))


def test_a_check_value_that_differs_takes_no_key() -> None:
    """Another value on the supplier's paper, or components that cancel out: the register does not exist."""
    wrong = (*VENDING[:-1], "000000", "n")
    empty = (*VENDING[:-3], KEY_20[0], "s", "n")
    lines = (*NEW_MODULE, *wrong, *empty, "0", WORD, *SHARES, WORD)
    screen = Screen()
    outcome = lead(new_module(SAY, now=NOW, random_octets=os.urandom), lines, screen)
    assert outcome.opened.keys.vending == {}
    assert sum(SAY("kcv_differs") in page for page in screen.pages) == 1
    assert sum(SAY("weak") in page for page in screen.pages) == 1


def test_the_papers_check_value_is_typed_before_the_screen_shows_it(made: tuple[Outcome, Screen]) -> None:
    """Nobody can copy the value of the key from the screen: it is shown only after the one of the paper was typed."""
    screen = Screen()
    lines = (*NEW_MODULE, *VENDING[:-1])
    with pytest.raises(AssertionError, match="no answer for"):
        lead(new_module(SAY, now=NOW, random_octets=os.urandom), lines, screen)
    assert screen.questions[-1].text == SAY("expected")
    assert not any(KCV_20.upper() in page for page in screen.pages)
    assert any(KCV_20.upper() in page for page in made[1].pages)


def test_what_was_typed_wrongly_is_mended_without_starting_anew() -> None:
    """Attributes can be given again before any component; after a wrong component only the components are."""
    attributes, entry = VENDING[1:18], VENDING[19:]
    wrong = (*entry[:4], "33" * 20, *entry[5:])
    lines = (
        *(*NEW_MODULE, "1", *("99", *attributes[1:]), "n", *attributes, "s"),
        *(*wrong, "s", *entry[3:]),
        *("1", "21", "22", *attributes[1:-1], "77", "", "n", *("23", *attributes[1:]), "s", *entry),
        *("0", WORD, *SHARES, WORD),
    )
    screen = Screen()
    keys = lead(new_module(SAY, now=NOW, random_octets=os.urandom), lines, screen).opened.keys
    assert sorted(keys.vending) == [21, 23]
    assert {each.kcv for each in keys.vending.values()} == {KCV_20}
    for text in ("number_taken", "no_such_old"):
        assert any(SAY(text) in page for page in screen.pages)


def test_dual_control_means_two_people() -> None:
    """The second component cannot be given to the person who has the first; a wrong component can be typed again."""
    holders = len(VENDING) - 10 + 2
    lines = (
        *NEW_MODULE,
        *VENDING[:holders],
        *("1",),  # The same person: asked again.
        *("2", "", "zz", "22" * 20, "n", KEY_20[0], "s", "", KEY_20[1], "s", KCV_20),
        *("0", WORD, *SHARES, WORD),
    )
    screen = Screen()
    outcome = lead(new_module(SAY, now=NOW, random_octets=os.urandom), lines, screen)
    assert outcome.opened.keys.vending[21].kcv == KCV_20
    assert any(SAY("holder_again") in page for page in screen.pages)


def test_a_partner_with_a_single_des_key_enters_eight_octets() -> None:
    """Scheme X9.9 for one key: components of 8 octets, the check value of single DES, and the register holds the key twice."""
    key = with_odd_parity(bytes([0xAB ^ 0xCD ^ 0x0F]) * 4 + bytes([0xAB ^ 0xCD]) * 4)
    components = ("ab" * 8, (key[0] ^ 0xAB).to_bytes().hex() * 4 + (key[4] ^ 0xAB).to_bytes().hex() * 4)
    kcv = mac_check_value(MacScheme.X9_9, key)
    assert kcv == vending_check_value(KeyAlgorithm.DKGA02, key)
    mac = ("2", "31", "3", "0", "s", "2", "2", "3", "", components[0], "s", "", components[1], "s", kcv)
    outcome = lead(
        new_module(SAY, now=NOW, random_octets=os.urandom), (*NEW_MODULE, *mac, "0", WORD, *SHARES, WORD), Screen()
    )
    register = outcome.opened.keys.mac[31]
    assert (register.key.reveal(), register.kcv, register.is_diversified) == (key * 2, kcv, False)


def test_des_keys_get_odd_parity() -> None:
    """Components with odd parity give even parity together; the key is set right, and its check value does not change."""
    components = ("0123456789abcdef", "fedcba9876543211")
    key = with_odd_parity(bytes(a ^ b for a, b in zip(*map(bytes.fromhex, components), strict=True)))
    # Nearly all ones, which parity makes a weak key: refused.
    assert is_weak(key, is_des=True)
    components = ("0123456789abcdef", "1002003004005006")
    key = with_odd_parity(bytes(a ^ b for a, b in zip(*map(bytes.fromhex, components), strict=True)))
    kcv = vending_check_value(KeyAlgorithm.DKGA02, key)
    attributes = (
        "1",
        "22",
        "201457",
        "1",
        "255",
        "1993",
        "2",
        "2",
        "7",
        "0",
        "1",
        "0",
        "0",
        "0",
        "0",
        "0",
        "2027-01-01",
        "",
        "s",
    )
    entry = ("2", "1", "2", "", components[0], "s", "", components[1], "s", kcv)
    lines = (*NEW_MODULE, *attributes, *entry, "0", WORD, *SHARES, WORD)
    register = lead(new_module(SAY, now=NOW, random_octets=os.urandom), lines).opened.keys.vending[22]
    assert (register.key.reveal(), register.kcv) == (key, kcv)
    assert register.issued_until == datetime(2027, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "wrong"),
    [
        *((1, "1"), (1, "10"), (1, "x"), (2, "4"), (2, "1"), (3, ""), (4, "Ana"), (6, "9"), (7, "70000"), (8, "1234")),
        *((8, "abcdef"), (9, "0"), (10, "256"), (11, "2015"), (12, "3"), (13, "3"), (14, "9"), (15, "5"), (16, "0")),
        *((18, "-1"), (22, "2026-13-01"), (24, "4"), (-14, "no")),
    ],
)
def test_a_wrong_answer_is_asked_again(at: int, wrong: str, made: tuple[Outcome, Screen]) -> None:
    """Every attribute refuses what is out of range, says so, and takes the right answer afterwards."""
    lines = (*NEW_MODULE, *VENDING, "0", WORD, *SHARES, WORD)
    position = at if at >= 0 else len(lines) + at
    again = (*lines[:position], wrong, *lines[position:])
    outcome = lead(new_module(SAY, now=NOW, random_octets=os.urandom), again)
    assert outcome.opened.keys.vending[21].kcv == made[0].opened.keys.vending[21].kcv
    with pytest.raises(Aborted):
        lead(new_module(SAY, now=NOW, random_octets=os.urandom), (*lines[:position], *(wrong,) * TRIES_MAX))


def test_the_store_opens_with_two_of_three(made: tuple[Outcome, Screen]) -> None:
    """A mistyped, a foreign and a repeated share are refused one by one; two right ones open."""
    outcome, screen = made
    kek = outcome.opened.kek
    header = Header(origin=kek.origin, kcv=kek.kcv)
    others = Screen()
    lead(new_module(SAY, now=NOW, random_octets=os.urandom), (*NEW_MODULE, "0", WORD, *SHARES, WORD), others)
    first, _, third = screen.shares
    lines = ("1234", others.shares[0], third, third, first)
    opening = Screen()
    assert lead(unseal(SAY, header), lines, opening).key == kek.key
    assert all(question.is_secret for question in opening.questions)
    with pytest.raises(Aborted):
        lead(unseal(SAY, header), (others.shares[0],) * TRIES_MAX)


def test_new_custodians_make_old_shares_worthless(made: tuple[Outcome, Screen]) -> None:
    """The keys stay, the key over them and its shares are others; an old share is told from a new one by its set."""
    outcome, screen = made
    renewed = Screen()
    lines = ("Olga", "2", "2", "Dora", "Eva", WORD, *SHARES[:8], WORD)
    changed = lead(new_custodians(SAY, outcome.opened, now=NOW, random_octets=os.urandom), lines, renewed)
    assert changed.opened.keys == outcome.opened.keys
    kek = changed.opened.kek
    header = Header(origin=kek.origin, kcv=kek.kcv)
    assert kek.key != outcome.opened.kek.key
    with pytest.raises(ShareError):
        header.kek_from_shares([read_share(Secret(each)) for each in screen.shares])
    assert header.kek_from_shares([read_share(Secret(each)) for each in renewed.shares]).key == kek.key
    assert "Dora" in changed.protocol


def test_a_vending_key_is_rotated(made: tuple[Outcome, Screen]) -> None:
    """The new register has the next revision; the old one keeps its key and mints until the day that was typed."""
    opened = made[0].opened
    parts = ("41" * 20, "3f" * 20)
    kcv = vending_check_value(KeyAlgorithm.DKGA04, bytes([0x41 ^ 0x3F]) * 20)
    attributes = list(VENDING[:18])
    attributes[1], attributes[3], attributes[17] = "23", "2", "21"
    entry = ("2026-06-01", "s", "2", "1", "2", "", parts[0], "s", "", parts[1], "s", kcv)
    lines = ("Olga", "Ana", "Beto", *attributes, *entry, "0", WORD, WORD)
    changed = lead(more_keys(SAY, opened, now=NOW, random_octets=os.urandom), lines).opened
    assert changed.kek is opened.kek
    old, new = changed.keys.vending[21], changed.keys.vending[23]
    assert (old.key, old.issued_until) == (opened.keys.vending[21].key, datetime(2026, 6, 1, tzinfo=UTC))
    assert (new.key_revision_number, new.kcv, new.issued_until) == (2, kcv, None)
    assert new.replaces == {21}
    for wrong in (21, 99):
        with pytest.raises(CannotReplace):
            add_vending(changed.keys, new, wrong, None)


def test_a_register_is_stopped_and_its_limits_are_changed(made: tuple[Outcome, Screen]) -> None:
    """By two people and on the record; what is left empty stays, 0 takes a limit away, and the key is the same."""
    opened = made[0].opened
    lines = ("Olga", "Ana", "Beto", "6", "99", "21", "s", "", "180000", "0", "", "x", "77", "500", "0", WORD, WORD)
    outcome = lead(more_keys(SAY, opened, now=NOW, random_octets=os.urandom), lines)
    old, new = opened.keys.vending[21], outcome.opened.keys.vending[21]
    assert (new.is_inhibited, new.key, new.units_per_token_max_tenths) == (True, old.key, 9_999)
    assert (new.units_per_day_limit_tenths, new.units_limit_tenths) == (180_000, None)
    assert (new.money_per_day_limit_centavos, new.money_limit_centavos, new.floor_centavos_per_unit) == (None, 77, 500)
    assert "INHIBITED" in outcome.protocol
    back = ("Olga", "Ana", "Beto", "6", "21", "n", *[""] * 6, "0", WORD, WORD)
    again = lead(more_keys(SAY, outcome.opened, now=NOW, random_octets=os.urandom), back).opened.keys.vending[21]
    assert again == replace(new, is_inhibited=False)


def test_both_languages_say_everything() -> None:
    """The same ceremony in English: its word and its yes are English."""
    english = {"s": "y", WORD: "SEAL"}
    lines = [english.get(line, line) if isinstance(line, str) else line for line in WHOLE]
    screen = Screen()
    outcome = lead(new_module(texts_in("en"), now=NOW, random_octets=os.urandom), lines, screen)
    assert isinstance(outcome.opened, Opened)
    assert "RECORD OF A KEY CEREMONY" in outcome.protocol
    assert "custodio" not in "".join(screen.pages)
