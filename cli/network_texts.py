"""What `eudora network` and `eudora settle` print: Spanish, and English on request."""

import csv
import io
from collections.abc import Sequence

from ledger.deposits import Deposit
from ledger.network_terms import Float
from ledger.reconcile import Difference, Run
from ledger.statement import Statement, StatementDay
from pos.amounts import format_centavos
from vending.commission import CommissionTerms
from vending.deposit import DepositRefusal, DepositRefused, DepositState
from vending.money import Centavos

_REFUSALS = {
    DepositRefusal.USER_INVALID: ("el nombre de usuario no es válido", "this is not a user name"),
    DepositRefusal.EVIDENCE_MISSING: ("falta el soporte", "the evidence is missing"),
    DepositRefusal.EVIDENCE_TOO_LONG: ("el soporte es demasiado largo", "the evidence is too long"),
    DepositRefusal.REFERENCE_INVALID: ("la referencia del banco no es válida", "the bank's reference is not valid"),
    DepositRefusal.AMOUNT_INVALID: ("el valor no es válido", "the amount is not valid"),
    DepositRefusal.NETWORK_UNKNOWN: ("esa red no existe", "there is no such network"),
    DepositRefusal.REFERENCE_USED: (
        "esa referencia del banco ya está registrada",
        "this bank reference is registered already",
    ),
    DepositRefusal.CORRECTED_UNKNOWN: (
        "la consignación que se corrige no existe o no está confirmada",
        "the deposit to be corrected does not exist or is not confirmed",
    ),
    DepositRefusal.ABOVE_DEPOSIT: ("supera lo que queda de la consignación", "it is more than the deposit has left"),
    DepositRefusal.DEPOSIT_UNKNOWN: ("esa consignación no existe", "there is no such deposit"),
    DepositRefusal.SAME_PERSON: ("quien registra no decide", "who registered it may not decide it"),
    DepositRefusal.ALREADY_DECIDED: ("ya fue decidida", "it was decided already"),
    DepositRefusal.FLOAT_SOLD: ("ese dinero ya fue vendido", "this money was sold already"),
}

_STATES = {
    DepositState.REGISTERED: ("registrada", "registered"),
    DepositState.CONFIRMED: ("confirmada", "confirmed"),
    DepositState.REJECTED: ("rechazada", "rejected"),
}

_DIFFERENCES = {
    "ours_only": ("solo nuestra", "ours only"),
    "theirs_only": ("solo de la red", "theirs only"),
    "amounts_differ": ("valores distintos", "amounts differ"),
    "duplicate": ("repetida por la red", "twice in theirs"),
}

_DECISIONS = {
    "ours_stands": ("vale lo nuestro", "ours stands"),
    "theirs_stands": ("vale lo de la red", "theirs stands"),
    "adjusted": ("ajustada", "adjusted"),
    "no_action": ("sin acción", "no action"),
}

_HEADS = {
    "day": ("Día", "Day"),
    "sales": ("Ventas", "Sales"),
    "sales_centavos": ("Valor vendido", "Sold"),
    "reversals": ("Reversos", "Reversals"),
    "reversals_centavos": ("Valor reversado", "Given back"),
    "deposits_centavos": ("Consignaciones", "Deposits"),
    "adjustments_centavos": ("Ajustes", "Adjustments"),
    "commission_centavos": ("Comisión", "Commission"),
    "tax_centavos": ("IVA comisión", "Tax on it"),
    "commission_adjustments_centavos": ("Ajustes comisión", "Its adjustments"),
}
_COLUMN = 18


def refusal_of(refused: DepositRefused, language: str) -> str:
    """Return the sentence for a refusal, with the stable name of its reason."""
    detail = f"; {refused.detail}" if refused.detail else ""
    return f"{_in(language, _REFUSALS[refused.reason])} ({refused.reason.value}{detail})"


def deposit_line(deposit: Deposit, language: str) -> str:
    """Return a deposit in one line."""
    parts = [
        f"{deposit.deposit_id:>6}",
        f"{_in(language, _STATES[deposit.state]):<11}",
        deposit.acquirer_id,
        format_centavos(deposit.amount_centavos),
        deposit.bank_reference,
        f"{deposit.registered_by} / {deposit.decided_by or '-'}",
    ]
    if deposit.corrects_deposit_id is not None:
        parts.append(f"{_in(language, ('corrige', 'corrects'))} {deposit.corrects_deposit_id}")
    return "  ".join([*parts, deposit.evidence])


def float_line(found: Float, language: str) -> str:
    """Return a network's float in one line."""
    warning = _in(language, ("BAJO", "LOW")) if found.is_low else ""
    available = _in(language, ("disponible", "available"))
    line = _in(language, ("cupo", "credit line"))
    return (
        f"{found.acquirer_id:<16}{available} {_money(found.available_centavos)}  {line} {_money(found.credit_line_centavos)}"
        f"  {_in(language, ('aviso', 'warning'))} {_money(found.warning_centavos)}  {warning}"
    ).rstrip()


def terms_lines(terms: CommissionTerms, language: str) -> list[str]:
    """Return one version of what a network earns, a line for each tier."""
    tax = f"{_in(language, ('IVA', 'tax'))} {_percent(terms.tax_basis_points)}"
    start, fixed = _in(language, ("desde", "from")), _in(language, ("fijo", "fixed"))
    return [
        f"{terms.valid_from.isoformat()}  {start} {_money(tier.from_paid_centavos)}: {_percent(tier.share_basis_points)}, "
        f"{fixed} {_money(tier.fixed_centavos)}, {tax}"
        for tier in terms.tiers
    ]


def statement_page(statement: Statement, language: str) -> str:
    """Return a statement as a table for people; sums are pesos."""
    total = statement.total
    names = [name for name in _HEADS if name == "day" or getattr(total, name) or name.startswith("sales")]
    words = {
        "opening": ("Saldo inicial", "Opening balance"),
        "closing": ("Saldo final", "Closing balance"),
        "earned": ("comisiones con IVA por pagar", "commissions with tax, owed to the network"),
        "total": ("Total", "Total"),
    }
    lines = [
        f"{statement.name} ({statement.acquirer_id})  {statement.first.isoformat()} - {statement.last.isoformat()}",
        f"{_in(language, words['opening'])}: {_money(statement.opening_float_centavos)}; "
        f"{_in(language, words['earned'])}: {_money(statement.opening_earned_centavos)}",
        "".join(f"{_in(language, _HEADS[name]):>{_COLUMN}}" for name in names),
        *("".join(f"{cell:>{_COLUMN}}" for cell in _cells(day, names)) for day in statement.days),
        "".join(f"{cell:>{_COLUMN}}" for cell in [_in(language, words["total"]), *_cells(total, names)[1:]]),
        f"{_in(language, words['closing'])}: {_money(statement.closing_float_centavos)}; "
        f"{_in(language, words['earned'])}: {_money(statement.closing_earned_centavos)}",
    ]
    return "\n".join(lines)


def statement_csv(statement: Statement) -> str:
    """Return a statement as CSV: a line for each day with its balances afterwards; sums are centavos, headings English."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*_HEADS, "float_centavos", "earned_centavos"])
    balance, earned = statement.opening_float_centavos, statement.opening_earned_centavos
    empty = [""] * (len(_HEADS) - 1)
    writer.writerow(["opening", *empty, balance, earned])
    for day in statement.days:
        balance += day.float_centavos
        earned += day.earned_centavos
        writer.writerow(
            [day.day.isoformat(), *(getattr(day, name) for name in _HEADS if name != "day"), balance, earned]
        )
    writer.writerow(["closing", *empty, statement.closing_float_centavos, statement.closing_earned_centavos])
    return out.getvalue()


def run_line(run: Run, language: str) -> str:
    """Return one comparison in one line."""
    ours, theirs = _in(language, ("nuestras", "ours")), _in(language, ("de la red", "theirs"))
    matched, apart = _in(language, ("iguales", "matched")), _in(language, ("diferencias", "differences"))
    again = _in(language, (" (ya comparado)", " (compared before)")) if run.is_repeat else ""
    return (
        f"{run.acquirer_id} {run.day.isoformat()}: {ours} {run.our_lines}, {theirs} {run.their_lines}, "
        f"{matched} {run.matched}, {apart} {run.differences}{again}"
    )


def difference_line(found: Difference, language: str) -> str:
    """Return one difference in one line: amount / commission / tax of both sides."""
    parts = [
        f"{found.difference_id:>6}",
        found.acquirer_id,
        found.day.isoformat(),
        f"{_in(language, _DIFFERENCES[found.kind]):<19}",
        f"{found.line_kind} {found.receipt or '-'} {found.terminal_id} {found.stan} {found.rrn}",
        f"{_in(language, ('nuestro', 'ours'))} {_sums(found.ours)}",
        f"{_in(language, ('red', 'theirs'))} {_sums(found.theirs)}",
    ]
    if found.decision is not None:
        parts.append(f"{_in(language, _DECISIONS[found.decision])} ({found.decided_by}: {found.why})")
    return "  ".join(parts)


def _cells(day: StatementDay, names: Sequence[str]) -> list[str]:
    return [
        day.day.isoformat()
        if name == "day"
        else _money(getattr(day, name))
        if name.endswith("centavos")
        else str(getattr(day, name))
        for name in names
    ]


def _sums(sums: Sequence[int | None]) -> str:
    return " / ".join("-" if each is None else _money(each) for each in sums)


def _money(centavos: int) -> str:
    return format_centavos(Centavos(centavos))


def _percent(basis_points: int) -> str:
    """Write hundredths of a percent.

    >>> _percent(150)
    '1,50 %'
    """
    return f"{basis_points // 100},{basis_points % 100:02} %"


def _in(language: str, texts: tuple[str, str]) -> str:
    return texts[1] if language == "en" else texts[0]
