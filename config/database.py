"""Section ``database``: where the money of record lives."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from config.section import HomePath, SecretText, Section
from vending.secret import Secret

_SCHEMES = ("postgresql://", "postgres://", "postgresql+psycopg://")


def _is_postgresql(dsn: Secret[str]) -> Secret[str]:
    if not dsn.reveal().startswith(_SCHEMES):
        raise ValueError("a PostgreSQL address is needed, it starts with postgresql://")
    return dsn


class DatabaseSection(Section):
    """PostgreSQL 15 or later, by address, or the embedded one where no address is given.

    Attributes:
        dsn: ``postgresql://user:password@host/name``; a secret, so best given as the file ``database__dsn`` of the secrets directory.
        directory: data directory of the embedded server; not used with a ``dsn``.
        writers: worker processes of one switch that reserve, and as many that post, each with a connection of its own.
    """

    dsn: Annotated[SecretText, AfterValidator(_is_postgresql)] | None = None
    directory: HomePath = Path("postgres")
    writers: int = Field(default=1, ge=1, le=16)
