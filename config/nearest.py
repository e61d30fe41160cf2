"""Which keys a table of the file may have, and the one that a misspelt key was probably meant to be."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from pydantic import BaseModel


def known_keys(root: type[BaseModel], path: Sequence[str]) -> list[str]:
    """Return the keys of the table that *path* leads to; empty where the keys are the operator's to choose, or there is no table."""
    model: Any = root
    for part in path:
        model = model.model if isinstance(model, _Named) else _inside(model, part)
        if model is None:
            return []
    return list(model.model_fields) if _is_model(model) else []


IN_THE_LEDGER: Mapping[str, str] = {
    "float": "eudora network deposit",
    "deposit": "eudora network deposit",
    "credit": "eudora network add --credit",
    "credit_line": "eudora network add --credit",
    "commission": "eudora network terms",
    "commission_tax": "eudora network terms",
    "tax": "eudora network terms",
    "tiers": "eudora network terms",
    "warning_level": "eudora network warn",
    "float_warning": "eudora network warn",
}
"""What people look for in a network's table and is agreed on by a day and a person, which a file does not know."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return what to say of an unknown key."""
    known = list(known)
    if name in IN_THE_LEDGER:
        return f"no such key: a network's money is in the ledger; {IN_THE_LEDGER[name]}"
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"no such key; did you mean {near[0]}?"
    return f"no such key; there are {', '.join(known)}" if known else "no such key"


def _inside(model: Any, part: str) -> Any:
    if not _is_model(model):
        return None
    field = model.model_fields.get(part)
    if field is None:
        return None
    for inner in _parts(field.annotation):
        if _is_model(inner):
            return inner
        if get_origin(inner) is dict:
            values = [each for each in _parts(get_args(inner)[1]) if _is_model(each)]
            if values:
                return _Named(values[0])
    return None


class _Named:
    """A table of tables: any name leads to the same model."""

    def __init__(self, model: type[BaseModel]) -> None:
        self.model = model


def _parts(annotation: Any) -> tuple[Any, ...]:
    """Return an annotation and, of a union, its members."""
    members = get_args(annotation)
    return (annotation, *members) if get_origin(annotation) is not dict else (annotation,)


def _is_model(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, BaseModel)
