"""What `eudora adjust` prints: Spanish, and English on request."""

from ledger.adjustments import Adjustment
from pos.amounts import format_centavos, format_units
from vending.adjustment import AdjustmentKind, AdjustmentRefusal, AdjustmentRefused, AdjustmentState
from vending.calendar import local_time
from vending.engineering import CLEAR_ALL
from vending.service import Service

PIN_GROUP_DIGITS = 4

_UNITS = {Service.ENERGY: "kWh", Service.WATER: "m³", Service.GAS: "m³"}

_KINDS = {
    AdjustmentKind.REFUND: ("Devolución de dinero", "Refund"),
    AdjustmentKind.CREDIT: ("Abono a la próxima compra", "Credit for the next purchase"),
    AdjustmentKind.FREE_TOKEN: ("PIN sin costo", "Free token"),
    AdjustmentKind.REPLACEMENT_TOKEN: ("PIN de reposición", "Replacement token"),
    AdjustmentKind.POWER_LIMIT: ("PIN de límite de potencia", "Power limit token"),
    AdjustmentKind.PHASE_UNBALANCE: ("PIN de límite de desbalance entre fases", "Phase unbalance token"),
    AdjustmentKind.CLEAR_CREDIT: ("PIN para borrar el crédito", "Clear credit token"),
    AdjustmentKind.CLEAR_TAMPER: ("PIN para borrar manipulación", "Clear tamper token"),
    AdjustmentKind.METER_TEST: ("PIN de prueba del medidor", "Meter test token"),
}

_STATES = {
    AdjustmentState.PROPOSED: ("propuesto", "proposed"),
    AdjustmentState.APPROVED: ("aprobado", "approved"),
    AdjustmentState.REJECTED: ("rechazado", "rejected"),
}

_WORDS = {
    "adjustment": ("Ajuste", "Adjustment"),
    "meter": ("Medidor", "Meter"),
    "sale": ("Recibo", "Sale"),
    "value": ("Valor", "Value"),
    "evidence": ("Soporte", "Evidence"),
    "proposed": ("Propuso", "Proposed by"),
    "decided": ("Decidió", "Decided by"),
    "entry": ("Asiento", "Entry"),
    "open": ("pendiente: eudora adjust finish", "open: eudora adjust finish"),
}

_REFUSALS = {
    AdjustmentRefusal.USER_INVALID: ("el nombre de usuario no es válido", "this is not a user name"),
    AdjustmentRefusal.EVIDENCE_MISSING: ("falta el soporte", "the evidence is missing"),
    AdjustmentRefusal.EVIDENCE_TOO_LONG: ("el soporte es demasiado largo", "the evidence is too long"),
    AdjustmentRefusal.AMOUNT_INVALID: ("el valor no es válido", "the amount is not valid"),
    AdjustmentRefusal.UNITS_INVALID: ("las unidades no son válidas", "the units are not valid"),
    AdjustmentRefusal.VALUE_INVALID: ("el valor no se puede decir en un PIN", "a token cannot say this value"),
    AdjustmentRefusal.SALE_MISSING: ("falta el recibo de la venta", "the sale is missing"),
    AdjustmentRefusal.METER_MISSING: ("falta el medidor", "the meter is missing"),
    AdjustmentRefusal.ADJUSTMENT_UNKNOWN: ("ese ajuste no existe", "there is no such adjustment"),
    AdjustmentRefusal.SAME_PERSON: ("quien propone no decide", "who proposed it may not decide it"),
    AdjustmentRefusal.ALREADY_DECIDED: ("ya fue decidido", "it was decided already"),
    AdjustmentRefusal.SALE_UNKNOWN: ("esa venta no existe", "there is no such sale"),
    AdjustmentRefusal.SALE_NOT_POSTED: ("la venta está anulada o sin terminar", "the sale is void or not finished"),
    AdjustmentRefusal.SALE_PARKED: ("la venta ya fue reversada", "the sale was reversed"),
    AdjustmentRefusal.METER_UNKNOWN: ("ese medidor no existe", "there is no such meter"),
    AdjustmentRefusal.METER_NOT_OF_SALE: ("el medidor no es el de la venta", "the meter is not the sale's"),
    AdjustmentRefusal.ABOVE_PAID: ("supera lo pagado", "it is more than was paid"),
    AdjustmentRefusal.ABOVE_SOLD: ("supera las unidades vendidas", "it is more than was sold"),
    AdjustmentRefusal.METER_BLOCKED: ("el medidor está bloqueado", "the meter is blocked"),
    AdjustmentRefusal.NO_FREE_UNITS_DUE: (
        "este medidor ya tuvo su PIN sin costo este mes",
        "this meter had its free token this month",
    ),
    AdjustmentRefusal.METER_BUSY: (
        "hay una venta en curso en este medidor; intente de nuevo",
        "a sale is under way on this meter; try again",
    ),
    AdjustmentRefusal.NO_TOKEN_IDENTIFIER: ("no quedan identificadores de PIN", "no token identifiers are left"),
}


def refusal_of(refused: AdjustmentRefused, language: str) -> str:
    """Return the sentence for a refusal, with the stable name of its reason."""
    detail = f"; {refused.detail}" if refused.detail else ""
    return f"{_in(language, _REFUSALS[refused.reason])} ({refused.reason.value}{detail})"


def line_of(adjustment: Adjustment, language: str) -> str:
    """Return an adjustment in one line, without its token."""
    state = _in(language, _STATES[adjustment.state])
    parts = [
        f"{adjustment.adjustment_id:>6}",
        f"{state:<10}",
        adjustment.meter_number,
        _in(language, _KINDS[adjustment.kind]),
        _value(adjustment),
        f"{adjustment.proposed_by} / {adjustment.decided_by or '-'}",
    ]
    if adjustment.is_open:
        parts.append(_word(language, "open"))
    return "  ".join(parts)


def page_of(adjustment: Adjustment, language: str) -> str:
    """Return an adjustment in full; its token, if it has one, in groups of four."""
    kind, state = _in(language, _KINDS[adjustment.kind]), _in(language, _STATES[adjustment.state])
    rows = [
        ("adjustment", f"{adjustment.adjustment_id}: {kind}, {state}"),
        ("meter", adjustment.meter_number),
        ("sale", "" if adjustment.sale_id is None else str(adjustment.sale_id)),
        ("value", _value(adjustment)),
        ("evidence", adjustment.evidence),
        ("proposed", f"{adjustment.proposed_by}  {local_time(adjustment.proposed_at):%d/%m/%Y %H:%M}"),
        (
            "decided",
            ""
            if adjustment.decided_at is None
            else f"{adjustment.decided_by}  {local_time(adjustment.decided_at):%d/%m/%Y %H:%M}",
        ),
        ("entry", "" if adjustment.entry_id is None else str(adjustment.entry_id)),
    ]
    lines = [f"{_word(language, name):<12} {value}" for name, value in rows if value]
    if adjustment.token is not None:
        digits = adjustment.token.digits
        shown = _word(language, "open") if digits is None else in_fours(digits.reveal())
        lines.append(f"{'PIN':<12} {shown}")
    return "\n".join(lines)


def in_fours(digits: str) -> str:
    """Return 20 digits as they are read aloud.

    >>> in_fours("12345678901234567890")
    '1234 5678 9012 3456 7890'
    """
    return " ".join(digits[start : start + PIN_GROUP_DIGITS] for start in range(0, len(digits), PIN_GROUP_DIGITS))


def _value(adjustment: Adjustment) -> str:
    if adjustment.kind.gives_money:
        return format_centavos(adjustment.amount_centavos)
    if adjustment.kind in (AdjustmentKind.POWER_LIMIT, AdjustmentKind.PHASE_UNBALANCE):
        return f"{adjustment.value} W"
    if adjustment.kind is AdjustmentKind.METER_TEST:
        return f"0x{adjustment.value:x}"
    if adjustment.kind is AdjustmentKind.CLEAR_CREDIT:
        return "-" if adjustment.value == CLEAR_ALL else str(adjustment.value)
    if adjustment.kind is AdjustmentKind.CLEAR_TAMPER:
        return ""
    return format_units(adjustment.units_tenths, _UNITS[adjustment.service])


def _word(language: str, name: str) -> str:
    return _in(language, _WORDS[name])


def _in(language: str, texts: tuple[str, str]) -> str:
    return texts[1] if language == "en" else texts[0]
