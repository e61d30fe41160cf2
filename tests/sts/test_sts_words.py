"""What a token says in words, for every class and sub-class; of a key change no piece of the key."""

import pytest

from sts.codes import KeyType
from sts.decode import CurrencyCredit, DecodedToken, Management, MeterTest, UnitCredit
from sts.key_change import KeySection
from sts.words import words_of

TABLE: list[tuple[DecodedToken, str, str]] = [
    (
        UnitCredit(subclass=0, rnd=1, tid=2, units_tenths=125),
        "crédito: 12,5 kWh de electricidad",
        "credit: 12.5 kWh of electricity",
    ),
    (UnitCredit(subclass=1, rnd=1, tid=2, units_tenths=5), "crédito: 0,5 m³ de agua", "credit: 0.5 m³ of water"),
    (UnitCredit(subclass=2, rnd=1, tid=2, units_tenths=10), "crédito: 1,0 m³ de gas", "credit: 1.0 m³ of gas"),
    (UnitCredit(subclass=3, rnd=1, tid=2, units_tenths=1), "crédito: 0,1 min de tiempo", "credit: 0.1 min of time"),
    (
        CurrencyCredit(subclass=5, tid=2, hundred_thousandths=-1),
        "crédito: $ -0,00001 de agua",
        "credit: $ -0.00001 of water",
    ),
    (MeterTest(subclass=0, control=(1 << 36) - 1, maker_code=0), "prueba: todo", "test: everything"),
    (
        MeterTest(subclass=1, control=(1 << 28) - 1, maker_code=7),
        "prueba: todo, fabricante 7",
        "test: everything, maker 7",
    ),
    (
        MeterTest(subclass=0, control=0b11 << 16, maker_code=0),
        "prueba: vencimiento de clave, número del medidor",
        "test: key expiry, meter number",
    ),
    (MeterTest(subclass=0, control=1 << 30, maker_code=0), "prueba: n.º 31", "test: no. 31"),
    (MeterTest(subclass=0, control=0, maker_code=0), "prueba: nada", "test: nothing"),
    (MeterTest(subclass=2, control=5, maker_code=0), "lectura extendida 5", "extended read 5"),
    (Management(subclass=0, rnd=1, tid=2, value=3000), "límite de potencia: 3000 W", "power limit: 3000 W"),
    (
        Management(subclass=1, rnd=1, tid=2, value=4),
        "borrar el crédito del registro 4",
        "clear the credit of register 4",
    ),
    (Management(subclass=1, rnd=1, tid=2, value=0xFFFF), "borrar todo el crédito", "clear all credit"),
    (Management(subclass=2, rnd=1, tid=2, value=9), "tarifa 9", "tariff rate 9"),
    (Management(subclass=5, rnd=1, tid=2, value=0), "borrar manipulación", "clear tamper"),
    (
        Management(subclass=6, rnd=1, tid=2, value=500),
        "límite de desbalance entre fases: 500 W",
        "phase unbalance limit: 500 W",
    ),
    (Management(subclass=7, rnd=1, tid=2, value=9), "factor de agua 9", "water factor 9"),
    (Management(subclass=10, rnd=1, tid=2, value=9), "ajuste extendido 9", "extended set 9"),
    (Management(subclass=12, rnd=1, tid=2, value=9), "función 12 del fabricante: 9", "maker's 12: 9"),
    (
        KeySection(section=1, key_word=987654, key_revision_number=2, is_rollover=True, key_type=KeyType.UNIQUE),
        "cambio de clave, parte 1, revisión 2, clave propia, fecha base nueva",
        "key change, part 1, revision 2, unique key, new base date",
    ),
    (
        KeySection(section=2, key_word=987654, tariff_index=7),
        "cambio de clave, parte 2, tarifa 07",
        "key change, part 2, tariff index 07",
    ),
    (KeySection(section=3, key_word=987654, sgc_part=9), "cambio de clave, parte 3", "key change, part 3"),
]


@pytest.mark.parametrize(("token", "spanish", "english"), TABLE, ids=[row[2] for row in TABLE])
def test_a_token_in_words(token: DecodedToken, spanish: str, english: str) -> None:
    """In both languages."""
    assert words_of(token) == (spanish, english)
