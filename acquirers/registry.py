"""Dialects by the name that configuration gives them."""

from acquirers.datafono import DatafonoDialect
from acquirers.dialect import Dialect

DIALECTS: dict[str, type[Dialect]] = {"datafono": DatafonoDialect}
