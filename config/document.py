"""docs/configuration.md: every key of every section, made from the sections themselves."""

import re
from collections.abc import Iterator
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from config.settings import Settings

_ATTRIBUTE = re.compile(r"^        (\w+): (.*?)(?=^        \w+: |\Z)", re.MULTILINE | re.DOTALL)


def render_markdown() -> str:
    """Return one table for each table of the file."""
    parts = []
    for path, model in sections():
        heading = f"## `[{path}]`"
        purpose = (model.__doc__ or "").strip().partition("\n")[0]
        rows = [
            _row(name, field, _meanings(model)[name])
            for name, field in model.model_fields.items()
            if _is_key(path, name, field)
        ]
        table = "\n".join(["| key | default | allowed | meaning |", "|---|---|---|---|", *rows])
        parts.append(f"{heading}\n\n{purpose}\n\n{table}")
    return "\n\n".join(parts) + "\n"


def sections() -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield every table of the file with its dotted path, in the order of the sections."""
    for name, field in Settings.model_fields.items():
        model = _model_of(field.annotation)
        if model is not None:
            yield from _with_inner(f"{name}.<id>" if get_origin(field.annotation) is dict else name, model)


def _with_inner(path: str, model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    yield path, model
    for name, field in model.model_fields.items():
        inner = _model_of(field.annotation)
        if inner is not None and not _is_list(field.annotation):
            yield from _with_inner(
                f"{path}.{name}.<id>" if get_origin(field.annotation) is dict else f"{path}.{name}", inner
            )


def _is_key(path: str, name: str, field: FieldInfo) -> bool:
    """Whether the key has a value of its own: an inner table has a heading, and an id is the name of its table."""
    is_id = name == "id" and path.endswith(".<id>")
    return not is_id and (_is_list(field.annotation) or _model_of(field.annotation) is None)


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is tuple


def _model_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_of(part))), None)


def _meanings(model: type[BaseModel]) -> dict[str, str]:
    text = (model.__doc__ or "").partition("    Attributes:\n")[2]
    return {name: " ".join(words.split()) for name, words in _ATTRIBUTE.findall(text)}


def _row(name: str, field: FieldInfo, meaning: str) -> str:
    return f"| `{name}` | {_default(field)} | {_allowed(field)} | {meaning.replace('|', chr(92) + '|').replace('``', '`')} |"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "*required*"
    value = field.get_default(call_default_factory=True)
    if value is None or value is PydanticUndefined:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(_quoted(each) for each in value)}]`"
    if isinstance(value, dict):
        return "`{}`"
    return f"`{_quoted(value)}`"


def _quoted(value: object) -> str:
    return str(value) if isinstance(value, int | float) else f'"{value}"'


def _allowed(field: FieldInfo) -> str:
    words = _choices(field.annotation)
    if words:
        return ", ".join(f"`{word}`" for word in words)
    limits = _limits(field.metadata) or _limits(_inner_metadata(field.annotation))
    return f"{_kind(field.annotation)}{' ' + limits if limits else ''}"


def _choices(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return [str(each) for each in get_args(annotation)]
    return [word for part in get_args(annotation) if part is not NoneType for word in _choices(part)]


def _inner_metadata(annotation: Any) -> list[Any]:
    return [each for part in get_args(annotation) for each in getattr(part, "__metadata__", ())]


def _limits(metadata: Any) -> str:
    found: dict[str, Any] = {}
    for each in metadata:
        for inner in getattr(each, "metadata", [each]):
            found |= {
                key: getattr(inner, key)
                for key in ("ge", "gt", "le", "max_length", "pattern")
                if getattr(inner, key, None) is not None
            }
    words = []
    if "ge" in found or "gt" in found:
        words.append(f"from {found['ge']}" if "ge" in found else f"above {found['gt']}")
    if "le" in found:
        words.append(f"to {found['le']}")
    if "max_length" in found:
        words.append(f"up to {found['max_length']}")
    return " ".join(words)


def _kind(annotation: Any) -> str:
    if get_origin(annotation) is tuple:
        return "list"
    if get_origin(annotation) is dict:
        return "table"
    text = repr(annotation)
    for name, word in (
        ("Secret", "text, a secret"),
        ("bool", "true or false"),
        ("int", "whole number"),
        ("float", "number"),
        ("Path", "path"),
    ):
        if name in text:
            return word
    return "text"
