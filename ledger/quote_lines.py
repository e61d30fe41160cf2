"""The lines of a quote as JSON and back: what ``sale.lines`` holds beside the sale's columns of numbers.

The keys are short because there is one such object per sale for ever:
``k`` tokens, ``b`` blocks as [units, rate, full_rate], ``t`` taken and ``v`` voluntary as
[kind, id, amount, interest, capital, left, subsidy].
"""

import json
from typing import Any, Protocol

from vending.deductions import Taken
from vending.money import Centavos, RateE4, Tenths
from vending.quote import Quote, QuotedBlock


class SaleNumbers(Protocol):
    """The columns of a sale's row that hold the numbers of its quote."""

    paid_centavos: int
    claimed_centavos: int
    carried_in_centavos: int
    carried_out_centavos: int
    units_tenths: int
    charged_centavos: int
    full_cost_centavos: int
    subsidy_centavos: int
    contribution_centavos: int
    month_to_date_tenths: int
    lines: dict[str, Any]


def lines_as_json(quote: Quote) -> str:
    """Return the JSON text of a quote's lines."""
    lines: dict[str, Any] = {"k": quote.token_units_tenths}
    if quote.blocks:
        lines["b"] = [(block.units_tenths, block.rate_e4, block.full_rate_e4) for block in quote.blocks]
    if quote.taken:
        lines["t"] = [_pack(taken) for taken in quote.taken]
    if quote.voluntary is not None:
        lines["v"] = _pack(quote.voluntary)
    return json.dumps(lines, separators=(",", ":"), ensure_ascii=False)


def quote_of(row: SaleNumbers) -> Quote:
    """Return the quote that a sale was reserved with."""
    lines = row.lines
    return Quote(
        paid_centavos=Centavos(row.paid_centavos - row.claimed_centavos),
        carried_in_centavos=Centavos(row.carried_in_centavos),
        units_tenths=Tenths(row.units_tenths),
        charged_centavos=Centavos(row.charged_centavos),
        carried_out_centavos=Centavos(row.carried_out_centavos),
        full_cost_centavos=Centavos(row.full_cost_centavos),
        subsidy_centavos=Centavos(row.subsidy_centavos),
        contribution_centavos=Centavos(row.contribution_centavos),
        voluntary=_unpack(lines["v"]) if "v" in lines else None,
        taken=tuple(_unpack(line) for line in lines.get("t", ())),
        blocks=tuple(
            QuotedBlock(units_tenths=Tenths(units), rate_e4=RateE4(rate), full_rate_e4=RateE4(full_rate))
            for units, rate, full_rate in lines.get("b", ())
        ),
        token_units_tenths=tuple(Tenths(units) for units in lines["k"]),
        month_to_date_tenths=Tenths(row.month_to_date_tenths),
    )


def _pack(taken: Taken) -> tuple[Any, ...]:
    return (
        *(taken.kind, taken.id, taken.amount_centavos, taken.interest_centavos),
        *(taken.capital_centavos, taken.left_centavos, taken.subsidy_centavos),
    )


def _unpack(line: list[Any]) -> Taken:
    kind, code, amount, interest, capital, left, subsidy = line
    return Taken(
        kind=kind,
        id=code,
        amount_centavos=Centavos(amount),
        interest_centavos=Centavos(interest),
        capital_centavos=Centavos(capital),
        left_centavos=Centavos(left),
        subsidy_centavos=Centavos(subsidy),
    )
