"""The JSON form of quotes: cases files, strictly read.

A case is ``{"id": ..., "input": {...}, "output": {...}}``. Reading is strict so that a case never passes by accident: a boolean is not
a number, a float is not money, and a key that means nothing is refused by name.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypeAlias

from vending.deductions import Charge, Deduction, Emergency, Obligation, Taken
from vending.money import BasisPoints, Centavos, RateE4, Tenths
from vending.policy import Limits
from vending.quote import Quote, QuoteInput, Voluntary, quote
from vending.response_code import Refusal
from vending.tariff import Tariff, TariffBlock, TariffError

Json: TypeAlias = Mapping[str, "Json"] | Sequence["Json"] | str | int | float | bool | None

INTEGER_MAX = 2**63 - 1
"""The books hold 64-bit integers; a case with more is a mistake."""


class CaseError(ValueError):
    """A case that is not of the form; the text says where and what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseReport:
    """What became of a file of cases.

    Attributes:
        cases: how many were checked; an input that could only be answered is none of them.
        failed: id, expected and got of each that did not pass.
        outputs: id and output of each input that carries no output, where those were asked for.
    """

    cases: int
    failed: tuple[Mapping[str, Json], ...]
    outputs: tuple[Mapping[str, Json], ...]


class _Fields:
    """One JSON object, read key by key; `done` refuses the keys that nobody asked for."""

    __slots__ = ("_left", "_where")

    def __init__(self, value: Json, where: str) -> None:
        if not isinstance(value, Mapping):
            raise CaseError(f"{where}: not an object")
        self._where = where
        self._left = dict(value)

    def where(self, key: str) -> str:
        return f"{self._where}.{key}"

    def has(self, key: str) -> bool:
        return key in self._left

    def take(self, key: str) -> Json:
        if key not in self._left:
            raise CaseError(f"{self.where(key)}: missing")
        return self._left.pop(key)

    def take_or_null(self, key: str) -> Json:
        return self._left.pop(key, None)

    def natural(self, key: str, default: int | None = None) -> int:
        """Return an integer of 0 or more."""
        if default is not None and key not in self._left:
            return default
        return _natural(self.take(key), self.where(key))

    def natural_or_null(self, key: str) -> int | None:
        value = self._left.pop(key, None)
        return None if value is None else _natural(value, self.where(key))

    def text(self, key: str) -> str:
        value = self.take(key)
        if not isinstance(value, str):
            raise CaseError(f"{self.where(key)}: not a text")
        return value

    def truth(self, key: str) -> bool:
        value = self._left.pop(key, False)
        if not isinstance(value, bool):
            raise CaseError(f"{self.where(key)}: not true or false")
        return value

    def integer(self, key: str) -> int:
        return _integer(self.take(key), self.where(key))

    def day(self, key: str) -> date:
        value = self.text(key)
        try:
            day = date.fromisoformat(value)
        except ValueError:
            raise CaseError(f"{self.where(key)}: not a date") from None
        # fromisoformat also takes 20260731 and 2026-W31-5.
        if day.isoformat() != value:
            raise CaseError(f"{self.where(key)}: not a date of the form 2026-07-31")
        return day

    def done(self) -> None:
        if self._left:
            raise CaseError(f"{self._where}: unknown key {', '.join(sorted(self._left))}")


def _integer(value: Json, where: str) -> int:
    # bool is a subclass of int, so isinstance would let true through as 1.
    if type(value) is not int:
        raise CaseError(f"{where}: not an integer")
    if abs(value) > INTEGER_MAX:
        raise CaseError(f"{where}: larger than {INTEGER_MAX}")
    return value


def _natural(value: Json, where: str) -> int:
    number = _integer(value, where)
    if number < 0:
        raise CaseError(f"{where}: negative")
    return number


def _items(value: Json, where: str) -> Sequence[Json]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise CaseError(f"{where}: not a list")
    return value


def parse_input(value: Json) -> QuoteInput:
    """Read the ``input`` of a case.

    Raises:
        CaseError: it is not of the form.
        TariffError: its tariff cannot be applied.
    """
    fields = _Fields(value, "input")
    cap = fields.natural_or_null("cap")
    question = QuoteInput(
        paid_centavos=Centavos(fields.natural("paid")),
        carried_in_centavos=Centavos(fields.natural("carried_in", 0)),
        month_to_date_tenths=Tenths(fields.natural("month_to_date", 0)),
        limits=_parse_limits(fields.take_or_null("limits")),
        tariff=_parse_tariff(fields.take("tariff")),
        deductions=_parse_deductions(fields.take_or_null("deductions")),
        cap_basis_points=None if cap is None else BasisPoints(cap),
        voluntary=_parse_voluntary(fields.take_or_null("voluntary")),
    )
    fields.done()
    return question


def _parse_limits(value: Json) -> Limits | None:
    if value is None:
        return None
    fields = _Fields(value, "input.limits")
    limits = Limits(
        minimum_paid_centavos=Centavos(fields.natural("minimum_paid")),
        maximum_paid_centavos=Centavos(fields.natural("maximum_paid")),
    )
    fields.done()
    return limits


def _parse_tariff(value: Json) -> Tariff:
    fields = _Fields(value, "input.tariff")
    blocks: list[TariffBlock] = []
    for index, item in enumerate(_items(fields.take("blocks"), "input.tariff.blocks")):
        block = _Fields(item, f"input.tariff.blocks[{index}]")
        limit = block.take("up_to")
        blocks.append(
            TariffBlock(
                up_to_tenths=None if limit is None else Tenths(_natural(limit, block.where("up_to"))),
                rate_e4=RateE4(block.integer("rate")),
                full_rate_e4=RateE4(block.integer("full_rate")),
            )
        )
        block.done()
    fields.done()
    return Tariff(blocks=tuple(blocks))


def _parse_deductions(value: Json) -> tuple[Deduction, ...]:
    if value is None:
        return ()
    return tuple(
        _parse_deduction(_Fields(item, f"input.deductions[{index}]"))
        for index, item in enumerate(_items(value, "input.deductions"))
    )


def _parse_deduction(fields: _Fields) -> Deduction:
    kind = fields.text("kind")
    identity = fields.text("id")
    priority = fields.integer("priority")
    due = fields.day("due")
    deduction: Deduction
    if kind == Charge.kind:
        owed = Centavos(fields.natural("owed"))
        full = Centavos(fields.natural("full", owed))
        deduction = Charge(id=identity, priority=priority, due=due, owed_centavos=owed, full_centavos=full)
    elif kind == Emergency.kind:
        owed = Centavos(fields.natural("owed"))
        deduction = Emergency(id=identity, priority=priority, due=due, owed_centavos=owed)
    elif kind == Obligation.kind:
        share_overdue = fields.natural_or_null("share_overdue")
        deduction = Obligation(
            id=identity,
            priority=priority,
            due=due,
            capital_centavos=Centavos(fields.natural("capital")),
            interest_centavos=Centavos(fields.natural("interest", 0)),
            instalment_due_centavos=Centavos(fields.natural("instalment_due", 0)),
            share_basis_points=BasisPoints(fields.natural("share", 0)),
            share_overdue_basis_points=None if share_overdue is None else BasisPoints(share_overdue),
            is_overdue=fields.truth("overdue"),
            minimum_centavos=Centavos(fields.natural("minimum", 0)),
            is_disputed=fields.truth("disputed"),
        )
    else:
        raise CaseError(f"{fields.where('kind')}: {kind!r} is not charge, emergency or obligation")
    fields.done()
    return deduction


def _parse_voluntary(value: Json) -> Voluntary | None:
    if value is None:
        return None
    fields = _Fields(value, "input.voluntary")
    voluntary = Voluntary(obligation=fields.text("obligation"), amount_centavos=Centavos(fields.natural("amount")))
    fields.done()
    return voluntary


def render_output(answer: Quote) -> dict[str, Json]:
    """Return a quote as the ``output`` of a case."""
    return {
        "declined": None,
        "units": answer.units_tenths,
        "charged": answer.charged_centavos,
        "carried_out": answer.carried_out_centavos,
        "full_cost": answer.full_cost_centavos,
        "subsidy": answer.subsidy_centavos,
        "contribution": answer.contribution_centavos,
        "voluntary": answer.voluntary.amount_centavos if answer.voluntary is not None else 0,
        "taken": [_render_taken(line) for line in answer.taken],
        "blocks": [
            {"units": block.units_tenths, "rate": block.rate_e4, "full_rate": block.full_rate_e4}
            for block in answer.blocks
        ],
        "tokens": list(answer.token_units_tenths),
        "month_to_date": answer.month_to_date_tenths,
    }


def _render_taken(line: Taken) -> dict[str, Json]:
    rendered: dict[str, Json] = {"id": line.id, "amount": line.amount_centavos}
    if line.kind == Obligation.kind:
        rendered["interest"] = line.interest_centavos
        rendered["capital"] = line.capital_centavos
    rendered["left"] = line.left_centavos
    if line.kind == Charge.kind:
        rendered["subsidy"] = line.subsidy_centavos
    return rendered


def answer_input(value: Json) -> dict[str, Json]:
    """Return the ``output`` that belongs to an ``input``: a quote, or what it is declined for.

    Raises:
        CaseError: the input is not of the form.
        TariffError: its tariff cannot be applied.
    """
    question = parse_input(value)
    try:
        return render_output(quote(question))
    except Refusal as refusal:
        return {"declined": refusal.code.value}


def run_cases(cases: Json, *, with_outputs: bool) -> CaseReport:
    """Run a file of cases.

    Args:
        cases: the file, as parsed.
        with_outputs: whether an input without an output asks for its output; otherwise it is a case that fails.

    Raises:
        CaseError: the file is not a list.
    """
    checked = 0
    failed: list[Mapping[str, Json]] = []
    outputs: list[Mapping[str, Json]] = []
    for index, case in enumerate(_items(cases, "file")):
        identity, expected, got = _run_case(case, index)
        if with_outputs and isinstance(case, Mapping) and "output" not in case and not isinstance(got, str):
            outputs.append({"id": identity, "output": got})
            continue
        checked += 1
        if not _is_same(expected, got):
            failed.append({"id": identity, "expected": expected, "got": got})
    return CaseReport(cases=checked, failed=tuple(failed), outputs=tuple(outputs))


def _run_case(case: Json, index: int) -> tuple[Json, Json, Json]:
    """Return the id, what is expected, and what came: an output, or the text of an error."""
    identity: Json = index
    expected: Json = None
    try:
        fields = _Fields(case, f"case {index}")
        if fields.has("id"):
            identity = fields.take("id")
        expected = fields.take_or_null("output")
        question = fields.take("input")
        fields.done()
        return identity, expected, answer_input(question)
    except (CaseError, TariffError) as error:
        return identity, expected, str(error)


def _is_same(expected: Json, got: Json) -> bool:
    """Compare as JSON text, where 1, 1.0 and true differ and the order of keys does not count."""
    return isinstance(got, Mapping) and json.dumps(expected, sort_keys=True) == json.dumps(got, sort_keys=True)
