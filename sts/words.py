"""What a token says, in words: Spanish, and English. No digit of a token and no piece of a key is in them."""

from sts.codes import KeyType
from sts.decode import CurrencyCredit, DecodedToken, Management, MeterTest, UnitCredit
from sts.key_change import KeySection
from sts.mint import (
    CLEAR_ALL_REGISTERS,
    CLEAR_CREDIT,
    CLEAR_TAMPER,
    EXTENDED_SET,
    SET_PHASE_UNBALANCE,
    SET_POWER_LIMIT,
    SET_TARIFF_RATE,
    SET_WATER_FACTOR,
    TEST_MAKER_BITS,
)

Words = tuple[str, str]
"""Spanish, English."""

SERVICE_NAMES: dict[int, Words] = {
    0: ("electricidad", "electricity"),
    1: ("agua", "water"),
    2: ("gas", "gas"),
    3: ("tiempo", "time"),
}
UNIT_NAMES = {0: "kWh", 1: "m³", 2: "m³", 3: "min"}
CURRENCY_DECIMALS = 5

TEST_NAMES: dict[int, Words] = {
    1: ("interruptor", "load switch"),
    2: ("pantalla", "display"),
    3: ("total consumido", "total units"),
    4: ("revisión de clave", "key revision"),
    5: ("índice de tarifa", "tariff index"),
    6: ("lector de PIN", "token reader"),
    7: ("límite de potencia", "power limit"),
    8: ("manipulación", "tamper"),
    9: ("potencia", "power"),
    10: ("versión del programa", "software version"),
    11: ("límite de desbalance", "unbalance limit"),
    12: ("factor de agua", "water factor"),
    13: ("tarifa", "tariff rate"),
    14: ("algoritmo", "encryption algorithm"),
    15: ("códigos de un cambio de clave", "tokens of a key change"),
    16: ("grupo de suministro", "supply group"),
    17: ("vencimiento de clave", "key expiry"),
    18: ("número del medidor", "meter number"),
}
"""By number: bit n-1 of a class 1 control field asks for test n. Source: IEC 62055-41 table 27."""

_MANAGEMENT: dict[int, Words] = {
    SET_TARIFF_RATE: ("tarifa {value}", "tariff rate {value}"),
    CLEAR_TAMPER: ("borrar manipulación", "clear tamper"),
    SET_WATER_FACTOR: ("factor de agua {value}", "water factor {value}"),
    EXTENDED_SET: ("ajuste extendido {value}", "extended set {value}"),
}

_KEY_TYPES: dict[KeyType, Words] = {
    KeyType.INITIALISATION: ("de fábrica", "initialisation"),
    KeyType.DEFAULT: ("por defecto", "default"),
    KeyType.UNIQUE: ("propia", "unique"),
    KeyType.COMMON: ("común", "common"),
}


def decimal_text(amount: int, decimals: int, comma: str) -> str:
    """Write an integer of tenths (1) or hundred-thousandths (5) with its decimals.

    >>> decimal_text(-5, 1, ",")
    '-0,5'
    """
    digits = f"{abs(amount):0{decimals + 1}d}"
    return f"{'-' if amount < 0 else ''}{digits[:-decimals]}{comma}{digits[-decimals:]}"


def words_of(token: DecodedToken) -> Words:
    """Return what *token* says.

    >>> words_of(UnitCredit(subclass=0, rnd=5, tid=1, units_tenths=125))[1]
    'credit: 12.5 kWh of electricity'
    """
    match token:
        case UnitCredit(subclass=subclass, units_tenths=units_tenths):
            unit, (spanish, english) = UNIT_NAMES[subclass], SERVICE_NAMES[subclass]
            return (
                f"crédito: {decimal_text(units_tenths, 1, ',')} {unit} de {spanish}",
                f"credit: {decimal_text(units_tenths, 1, '.')} {unit} of {english}",
            )
        case CurrencyCredit(subclass=subclass, hundred_thousandths=money):
            spanish, english = SERVICE_NAMES[subclass - 4]
            return (
                f"crédito: $ {decimal_text(money, CURRENCY_DECIMALS, ',')} de {spanish}",
                f"credit: $ {decimal_text(money, CURRENCY_DECIMALS, '.')} of {english}",
            )
        case MeterTest():
            return _test(token)
        case Management():
            return _management(token)
        case KeySection():
            return _section(token)


def _test(token: MeterTest) -> Words:
    every = (1 << 44 - TEST_MAKER_BITS[token.subclass]) - 1
    maker = ("", "") if token.maker_code == 0 else (f", fabricante {token.maker_code}", f", maker {token.maker_code}")
    if token.subclass == 2:
        return f"lectura extendida {token.control}{maker[0]}", f"extended read {token.control}{maker[1]}"
    if token.control == every:
        return f"prueba: todo{maker[0]}", f"test: everything{maker[1]}"
    asked = [number for number in range(1, token.control.bit_length() + 1) if token.control >> number - 1 & 1]
    names = [TEST_NAMES.get(number, (f"n.º {number}", f"no. {number}")) for number in asked]
    spanish = ", ".join(name[0] for name in names) or "nada"
    english = ", ".join(name[1] for name in names) or "nothing"
    return f"prueba: {spanish}{maker[0]}", f"test: {english}{maker[1]}"


def _management(token: Management) -> Words:
    if token.subclass == SET_POWER_LIMIT:
        return f"límite de potencia: {token.watts} W", f"power limit: {token.watts} W"
    if token.subclass == SET_PHASE_UNBALANCE:
        return f"límite de desbalance entre fases: {token.watts} W", f"phase unbalance limit: {token.watts} W"
    if token.subclass == CLEAR_CREDIT:
        if token.value == CLEAR_ALL_REGISTERS:
            return "borrar todo el crédito", "clear all credit"
        return f"borrar el crédito del registro {token.value}", f"clear the credit of register {token.value}"
    spanish, english = _MANAGEMENT.get(
        token.subclass, (f"función {token.subclass} del fabricante: {{value}}", f"maker's {token.subclass}: {{value}}")
    )
    return spanish.format(value=token.value), english.format(value=token.value)


def _section(token: KeySection) -> Words:
    spanish = [f"cambio de clave, parte {token.section}"]
    english = [f"key change, part {token.section}"]
    if token.key_revision_number is not None:
        spanish.append(f"revisión {token.key_revision_number}")
        english.append(f"revision {token.key_revision_number}")
    if token.key_type is not None:
        spanish.append(f"clave {_KEY_TYPES[token.key_type][0]}")
        english.append(f"{_KEY_TYPES[token.key_type][1]} key")
    if token.is_rollover:
        spanish.append("fecha base nueva")
        english.append("new base date")
    if token.tariff_index is not None:
        spanish.append(f"tarifa {token.tariff_index:02d}")
        english.append(f"tariff index {token.tariff_index:02d}")
    return ", ".join(spanish), ", ".join(english)
