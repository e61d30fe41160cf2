"""A dialect whose data element 39 a network wants spelled otherwise. All answers leave through `Dialect.encode` and its sibling."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from acquirers.dialect import Dialect
from messages.iso_message import IsoMessage
from vending.response_code import ResponseCode

RESPONSE_CODE = 39

ACTED_UPON = frozenset(
    {
        ResponseCode.APPROVED,
        ResponseCode.NOT_SIGNED_ON,
        ResponseCode.SALE_STANDS,
        ResponseCode.TOTALS_DIFFER,
        ResponseCode.IN_PROGRESS,
    }
)
"""What a terminal does next depends on these, so none of them shares its spelling: repeat, sign on, print, compare."""


def spelling_faults(spellings: Mapping[ResponseCode, str], changes: Mapping[ResponseCode, str]) -> dict[str, str]:
    """Return what is wrong with other spellings, by the name of the code; empty: they can be used.

    Args:
        spellings: of the dialect.
        changes: what the network wants instead.
    """
    faults = {}
    together = {**spellings, **changes}
    length = len(spellings[ResponseCode.APPROVED])
    for code, text in changes.items():
        same = [other for other in together if other is not code and together[other] == text]
        apart = [other for other in same if {code, other} & ACTED_UPON]
        if len(text) != length or not text.isdecimal():
            faults[code.value] = f"this dialect spells a code with {length} digits"
        elif apart:
            faults[code.value] = f"{apart[0].value} is spelled so; what the terminal does next must not depend on luck"
    return faults


class _Respelled:
    """A dialect that differs in the two ways out only; everything else is the dialect's own."""

    def __init__(self, dialect: Dialect, changes: Mapping[str, str]) -> None:
        self._dialect = dialect
        self._changes = changes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dialect, name)

    def encode(self, answer: IsoMessage) -> bytes:
        """Write an answer, its code respelled."""
        return self._dialect.encode(self._respelled(answer))

    def encode_for_mac(self, answer: IsoMessage) -> bytes:
        """Write an answer, its code respelled."""
        return self._dialect.encode_for_mac(self._respelled(answer))

    def _respelled(self, answer: IsoMessage) -> IsoMessage:
        text = self._changes.get(answer.fields.get(RESPONSE_CODE, ""))
        return answer if text is None else replace(answer, fields={**answer.fields, RESPONSE_CODE: text})


def respelled(dialect: Dialect, spellings: Mapping[ResponseCode, str], changes: Mapping[ResponseCode, str]) -> Dialect:
    """Return *dialect* with other spellings in data element 39; only the codes that differ are touched.

    Args:
        dialect: which does the work.
        spellings: its own.
        changes: free of `spelling_faults`.
    """
    assert not spelling_faults(spellings, changes), "checked when the configuration was read"
    return cast(Dialect, _Respelled(dialect, {spellings[code]: text for code, text in changes.items()}))
