"""Dialects by the name that configuration gives them."""

from collections.abc import Callable

from acquirers.action_codes import ISO_1993
from acquirers.dialect import Dialect
from acquirers.iso1987 import DatafonoDialect, RecargasDialect
from acquirers.iso1993 import LoteriaDialect
from acquirers.response_codes import ISO_1987
from vending.response_code import ResponseCode

DIALECTS: dict[str, Callable[[], Dialect]] = {
    "datafono": DatafonoDialect,
    "recargas": RecargasDialect,
    "loteria": LoteriaDialect,
}

SPELLINGS: dict[str, dict[ResponseCode, str]] = {"datafono": ISO_1987, "recargas": ISO_1987, "loteria": ISO_1993}
"""How each of them spells our response codes in data element 39."""
