"""What a virtual meter says about a token, for the person in front of it: Spanish, and English on request."""

from sts.decode import CurrencyCredit, UnitCredit
from sts.key_change import KeySection
from sts.meter import Entered, MeterResult
from sts.words import CURRENCY_DECIMALS, UNIT_NAMES, decimal_text, words_of

_ACCEPTED = ("Aceptado.", "Accepted.")
_KEY_CHANGED = (
    "Aceptado: el medidor tiene su clave nueva; ahora puede digitar la recarga.",
    "Accepted: the meter has its new key; now the recharge can be entered.",
)

_SENTENCES: dict[MeterResult, tuple[str, str]] = {
    MeterResult.FIRST_KCT: (
        "Primera parte del cambio de clave recibida; ingrese las demás.",
        "First part of the key change taken; enter the others.",
    ),
    MeterResult.SECOND_KCT: (
        "Segunda parte del cambio de clave recibida; ingrese las demás.",
        "Second part of the key change taken; enter the others.",
    ),
    MeterResult.THIRD_KCT: (
        "Tercera parte del cambio de clave recibida; ingrese las demás.",
        "Third part of the key change taken; enter the others.",
    ),
    MeterResult.FOURTH_KCT: (
        "Cuarta parte del cambio de clave recibida; ingrese las demás.",
        "Fourth part of the key change taken; enter the others.",
    ),
    MeterResult.CRC_ERROR: (
        "Rechazado: este PIN no es de este medidor o está mal digitado.",
        "Refused: this PIN is not for this meter, or was mistyped.",
    ),
    MeterResult.MFR_CODE_ERROR: (
        "Rechazado: esta prueba es de otro fabricante.",
        "Refused: this test belongs to another maker.",
    ),
    MeterResult.OLD_ERROR: (
        "Rechazado: este PIN es demasiado antiguo.",
        "Refused: this PIN is too old.",
    ),
    MeterResult.USED_ERROR: (
        "Rechazado: este PIN ya fue usado en este medidor.",
        "Refused: this PIN was used on this meter already.",
    ),
    MeterResult.KEY_EXPIRED_ERROR: (
        "Rechazado: la clave de este medidor venció; hace falta un cambio de clave.",
        "Refused: the key of this meter has expired; it needs a key change.",
    ),
    MeterResult.DDTK_ERROR: (
        "Rechazado: este medidor aún no tiene su propia clave y no recibe crédito.",
        "Refused: this meter does not have its own key yet and takes no credit.",
    ),
    MeterResult.OVERFLOW_ERROR: (
        "Rechazado: el saldo no cabe en el medidor; el PIN sigue sin usar.",
        "Refused: the balance would not fit in the meter; the PIN stays unused.",
    ),
    MeterResult.KEY_TYPE_ERROR: (
        "Rechazado: este medidor no puede tomar ese tipo de clave.",
        "Refused: this meter cannot take that type of key.",
    ),
    MeterResult.FORMAT_ERROR: (
        "Rechazado: un PIN tiene 20 dígitos.",
        "Refused: a PIN has 20 digits.",
    ),
    MeterResult.RANGE_ERROR: (
        "Rechazado: el PIN trae un valor fuera de rango.",
        "Refused: the PIN carries a value out of range.",
    ),
    MeterResult.FUNCTION_ERROR: (
        "Rechazado: este medidor no tiene esa función o no mide ese servicio.",
        "Refused: this meter does not have that function or does not measure that service.",
    ),
    MeterResult.LOCKOUT_ERROR: (
        "Rechazado: demasiados intentos fallidos; espere e intente de nuevo.",
        "Refused: too many wrong attempts; wait and try again.",
    ),
}


def _amounts(token: UnitCredit | CurrencyCredit, total: int, comma: str) -> tuple[str, str]:
    if isinstance(token, UnitCredit):
        unit = UNIT_NAMES[token.subclass]
        return f"{decimal_text(token.units_tenths, 1, comma)} {unit}", f"{decimal_text(total, 1, comma)} {unit}"
    added = decimal_text(token.hundred_thousandths, CURRENCY_DECIMALS, comma)
    return f"$ {added}", f"$ {decimal_text(total, CURRENCY_DECIMALS, comma)}"


def sentences(entered: Entered) -> tuple[str, str]:
    """Return what the meter says, in Spanish and in English."""
    if entered.result is not MeterResult.ACCEPT:
        return _SENTENCES[entered.result]
    token = entered.token
    if token is None:
        return _ACCEPTED
    if isinstance(token, KeySection):
        return _KEY_CHANGED
    if not isinstance(token, UnitCredit | CurrencyCredit):
        spanish, english = words_of(token)
        return f"Aceptado: {spanish}.", f"Accepted: {english}."
    total = entered.state.registers[token.subclass]
    (added_es, total_es), (added_en, total_en) = _amounts(token, total, ","), _amounts(token, total, ".")
    return f"Aceptado: +{added_es}. Saldo: {total_es}.", f"Accepted: +{added_en}. Balance: {total_en}."
