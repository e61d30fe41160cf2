"""The slip of a day's end (cierre de lote): what the terminal counted, what the network has, and whether they agree."""

from dataclasses import dataclass
from datetime import date

from messages.subfields import SubElementError, first_value, parse_sub_elements
from pos.amounts import format_centavos
from pos.client import Outcome
from pos.dialogue import Final
from pos.display import ExitStatus, Shown, Style, show_refusal
from pos.texts import SPANISH
from vending.money import Centavos
from vending.settlement import DayTotals, Sum

TOTALS_DIFFER = "97"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Words:
    title: str
    recharges: str
    payments: str
    reversals: str
    net: str
    network: str
    open: str
    agrees: str
    differs: str


_SPANISH = _Words(
    title="CIERRE DE LOTE",
    recharges="Recargas",
    payments="Pagos",
    reversals="Reversos",
    net="Neto",
    network="Según la red",
    open="Sin terminar",
    agrees="CUADRA",
    differs="NO CUADRA: no borre nada y llame a la red",
)
_ENGLISH = _Words(
    title="END OF DAY",
    recharges="Recharges",
    payments="Payments",
    reversals="Reversals",
    net="Net",
    network="By the network",
    open="Not ended",
    agrees="AGREES",
    differs="DIFFERS: delete nothing and call the network",
)


def show_close(outcome: Outcome, day: date, totals: DayTotals, style: Style) -> Shown:
    """Show how a day was closed: exit status 0 if both sides agree, 1 if they differ."""
    words = _SPANISH if style.language == SPANISH else _ENGLISH
    if not isinstance(outcome, Final) or (not outcome.is_approved and outcome.code != TOTALS_DIFFER):
        return show_refusal(outcome, style, moves_money=False)
    lines = [
        f"{words.title} {day.isoformat()}",
        _line(words.recharges, totals.recharges),
        _line(words.payments, totals.payments),
        _line(words.reversals, totals.reversed),
        f"{words.net}: {format_centavos(Centavos(totals.net_centavos))}",
    ]
    if not outcome.is_approved:
        lines.append(_line(words.network, _sum(outcome, 76, 88)))
        lines.append(_line(f"{words.network}, {words.reversals}", _sum(outcome, 77, 89)))
    still_open = _open(outcome)
    if still_open:
        lines.append(f"{words.open}: {still_open}")
    lines.append(words.agrees if outcome.is_approved else words.differs)
    status = ExitStatus.APPROVED if outcome.is_approved else ExitStatus.DECLINED
    return Shown(text="\n".join(lines) + "\n", status=status)


def _line(name: str, found: Sum) -> str:
    return f"{name}: {found.count}  {format_centavos(Centavos(found.centavos))}"


def _sum(outcome: Final, count: int, centavos: int) -> Sum:
    return Sum(int(outcome.answer.get(count) or "0"), int(outcome.answer.get(centavos) or "0"))


def _open(outcome: Final) -> int:
    """How many sales of the day the network has not ended; 0 where it does not say."""
    try:
        count, _, _ = (first_value(parse_sub_elements(outcome.answer.get(48) or ""), "OP") or "0").partition(";")
        return int(count)
    except (SubElementError, ValueError):
        return 0
