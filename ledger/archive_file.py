"""A month in a file: the rows as CSV, compressed, and beside it a manifest in JSON that says what must be in there.

The file of the journal holds answers with PINs: it is a secret, readable by its owner only. Nothing here knows a database.
"""

import csv
import gzip
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import BinaryIO

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700
FIELD_OCTETS_MAX = 1 << 20
"""A message of 64 KiB as hexadecimal digits is longer than what the csv module takes by itself."""

READ_OCTETS = 1 << 20
SECRET_COLUMNS = ("request", "answer")
"""Of the journal: messages as they were on the line."""


class ArchiveDamaged(Exception):
    """A file is not what its manifest says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What was counted in a file: rows; sales (journal) or entries (posting) among them; what its postings debit, in centavos."""

    row_count: int
    subject_count: int
    debit_centavos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a file must hold. ``month`` is its first day, ISO; ``sha256`` is of the compressed file, as ``sha256sum`` prints it."""

    table_name: str
    month: str
    number: int
    schema_version: str
    row_count: int
    subject_count: int
    debit_centavos: int
    sha256: str

    @property
    def contents(self) -> Contents:
        """The counts alone."""
        return Contents(row_count=self.row_count, subject_count=self.subject_count, debit_centavos=self.debit_centavos)


def path_of(directory: Path, table_name: str, month: date, number: int) -> Path:
    """Return the path of a month's file.

    >>> path_of(Path("x"), "journal", date(2026, 8, 1), 1)
    PosixPath('x/journal-2026-08-1.csv.gz')
    """
    return directory / f"{table_name}-{month:%Y-%m}-{number}.csv.gz"


def manifest_path(path: Path) -> Path:
    """Return where the manifest of a file lies."""
    return path.with_name(path.name.removesuffix(".csv.gz") + ".json")


def write_rows(path: Path, chunks: Iterable[bytes | bytearray | memoryview]) -> None:
    """Write a compressed file from pieces of CSV; it has its name only once all of it is on disk.

    The same rows give the same octets, so a file that an earlier run left is simply confirmed.

    Raises:
        FileExistsError: there is another file of that name already; it is left as it is.
    """
    path.parent.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with _secret_file(part) as file, gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
        for chunk in chunks:
            packed.write(chunk)
    if path.exists():
        if digest_of(path) != digest_of(part):
            part.unlink()
            raise FileExistsError(path)
        part.unlink()
        return
    part.rename(path)
    _sync_directory(path.parent)


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write the manifest of the file at *path*."""
    target = manifest_path(path)
    part = target.with_name(target.name + ".part")
    with _secret_file(part) as file:
        file.write(json.dumps(asdict(manifest), indent=2).encode() + b"\n")
    part.rename(target)
    _sync_directory(target.parent)


def read_manifest(path: Path) -> Manifest:
    """Return the manifest of the file at *path*.

    Raises:
        ArchiveDamaged: there is none that can be read.
    """
    try:
        return Manifest(**json.loads(manifest_path(path).read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise ArchiveDamaged(f"{manifest_path(path)}: {error}") from error


def verify(path: Path) -> Manifest:
    """Read a whole file and compare it with its manifest; return that.

    Raises:
        ArchiveDamaged: they differ, or one of them cannot be read.
    """
    manifest = read_manifest(path)
    try:
        if digest_of(path) != manifest.sha256:
            raise ArchiveDamaged(f"{path}: the SHA-256 is not the one in the manifest")
    except OSError as error:
        raise ArchiveDamaged(f"{path}: {error}") from error
    found = count(path)
    if found != manifest.contents:
        raise ArchiveDamaged(f"{path}: holds {found}, the manifest says {manifest.contents}")
    return manifest


def count(path: Path) -> Contents:
    """Count what is in a file, row by row.

    Raises:
        ArchiveDamaged: it cannot be read to its end.
    """
    rows = subjects = debit_centavos = 0
    last = ""
    for row in read_rows(path):
        rows += 1
        if "amount_centavos" in row:
            debit_centavos += max(0, int(row["amount_centavos"]))
            # Sorted by entry.
            subjects += row["entry_id"] != last
            last = row["entry_id"]
        else:
            subjects += row["sale_id"] != ""
    return Contents(row_count=rows, subject_count=subjects, debit_centavos=debit_centavos)


def read_rows(path: Path, wanted: Mapping[str, str] | None = None) -> Iterator[dict[str, str]]:
    """Give the rows of a file by column, those whose columns have the *wanted* values; what is null is empty.

    Raises:
        ArchiveDamaged: it cannot be read to its end.
    """
    csv.field_size_limit(FIELD_OCTETS_MAX)
    try:
        with gzip.open(path, "rt", newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file, strict=True):
                if all(row.get(name) == value for name, value in (wanted or {}).items()):
                    yield row
    except (OSError, EOFError, ValueError, csv.Error) as error:
        raise ArchiveDamaged(f"{path}: {error}") from error


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(READ_OCTETS):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def _secret_file(path: Path) -> Iterator[BinaryIO]:
    """A new file that nobody else may read, on disk when the block ends; one that a killed run left is replaced."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(directory: Path) -> None:
    """A name is durable once its directory is."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
