"""Two people register a vendor terminal, change its limits, and make a module the one of a till."""

from dataclasses import replace

import pytest

from security_module.ceremony_dialogue import more_keys
from security_module.ceremony_texts import texts_in
from security_module.custody import Opened
from security_module.dialogue import Aborted
from security_module.registers import ModuleKeys
from security_module.sealed_store import kek_from_passphrase
from security_module.vendors import LeaseLimits, Till, VendorTerminal
from tests.security_module.conftest import NOW
from tests.security_module.lease_bench import HEAD_KEY, TERMINAL, TILL_KEY, a_vendor
from tests.security_module.people import WORD, Screen, lead
from vending.secret import Secret

PEOPLE = ("Olga", "Ana", "Beto")
LIMITS = ("5000000", "12000", "80", "200000", "400000", "72", "rio")


def hold(keys: ModuleKeys, *lines: str, screen: Screen | None = None) -> ModuleKeys:
    """Lead `enter-keys` to its end."""
    opened = Opened(keys=keys, kek=kek_from_passphrase(Secret(b"a passphrase of tests"), bytes))
    dialogue = more_keys(texts_in("es"), opened, now=NOW, random_octets=bytes)
    outcome = lead(dialogue, (*PEOPLE, *lines, "0", WORD, WORD), screen)
    return outcome.opened.keys


def test_two_people_register_a_terminal(keys: ModuleKeys) -> None:
    """Both confirm its key; every limit is asked for, none may be left out; the record shows all of it."""
    screen = Screen()
    changed = hold(
        keys,
        *("7", TILL_KEY, "s", "s"),
        *("T 42", TERMINAL, "201457", "201457/2, 201457/1"),
        *("0", "5000000", "x", "12000", "100001", "80", "200000", "400000", "745", "72", "ñ", "rio"),
        screen=screen,
    )
    assert changed == replace(
        keys,
        vendors={
            TERMINAL: VendorTerminal(
                terminal_id=TERMINAL,
                public_key=TILL_KEY,
                supply_groups=((201457, 1), (201457, 2)),
                limits=LeaseLimits(
                    credit_centavos=5_000_000,
                    units_tenths=12_000,
                    sales_max=80,
                    sale_max_centavos=200_000,
                    meter_day_max_centavos=400_000,
                ),
                lease_hours=72,
                zone="rio",
            )
        },
    )
    assert f"{TERMINAL}: {TILL_KEY}" in screen.pages[-1]
    assert "money 5000000  units 12000  sales 80  sale 200000  meter/day 400000  hours 72  rio" in screen.pages[-1]


def test_one_of_two_does_not_confirm(keys: ModuleKeys) -> None:
    """Then nothing is changed, for either kind."""
    assert hold(keys, "7", TILL_KEY, "s", "n", "8", HEAD_KEY, "n") == keys


def test_limits_are_changed_and_a_module_is_not(keys: ModuleKeys) -> None:
    """The same terminal gets other limits under its key; under another key it is not the same terminal."""
    known = replace(keys, vendors={TERMINAL: a_vendor()})
    changed = hold(known, "7", TILL_KEY, "s", "s", TERMINAL, "201457/1", *LIMITS)
    assert changed.vendors[TERMINAL].limits.credit_centavos == 5_000_000
    with pytest.raises(Aborted):
        hold(known, "7", HEAD_KEY, "s", "s", *[TERMINAL] * 5)


def test_a_module_becomes_the_one_of_a_till(keys: ModuleKeys) -> None:
    """With the head-end's key, which both confirm; a head-end with terminals of its own cannot, nor the other way round."""
    changed = hold(keys, "8", HEAD_KEY, "s", "s", TERMINAL)
    assert changed == replace(keys, till=Till(terminal_id=TERMINAL, head_end_key=HEAD_KEY))
    known = replace(keys, vendors={TERMINAL: a_vendor()})
    assert hold(known, "8", HEAD_KEY, "s", "s", TERMINAL) == known
    assert hold(changed, "7", TILL_KEY, "s", "s", TERMINAL, "201457/1", *LIMITS) == changed
