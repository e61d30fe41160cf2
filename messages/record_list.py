"""Whole messages inside one data element: how the records of a batch upload stand in it. Source: docs/wire/datafono.md.

Each record is three digits that say how many octets follow, and the octets of a message from its MTI on, without a MAC. One octet is one
Latin-1 character, as in every data element that may hold anything.
"""

from collections.abc import Iterable

from messages.subfields import DATA_ELEMENT_OCTETS_MAX

RECORDS_ELEMENT = 60
"""The data element of a batch upload that holds its records."""

RECORDS_MAX = 16
"""In one message. What fits into 999 octets is about a dozen; short ones that make no sense must not be hundreds."""

_LENGTH_DIGITS = 3


class RecordListError(ValueError):
    """Text that is not a list of records, or records that make none."""


def read_records(text: str) -> tuple[bytes, ...]:
    """Read the value of the data element; what the records say is not looked at.

    Raises:
        RecordListError: a length is not three digits or zero, or its octets are cut short; no record, or too many.

    >>> read_records("002ab001c")
    (b'ab', b'c')
    """
    records: list[bytes] = []
    position = 0
    while position < len(text):
        start = position + _LENGTH_DIGITS
        length = text[position:start]
        if not (len(length) == _LENGTH_DIGITS and length.isascii() and length.isdigit()):
            raise RecordListError(f"octet {position}: the length of a record is 3 digits")
        record = text[start : start + int(length)].encode("latin-1")
        if not record or len(record) != int(length):
            raise RecordListError(f"octet {start}: a record is empty or cut short")
        records.append(record)
        position = start + len(record)
    if not 0 < len(records) <= RECORDS_MAX:
        raise RecordListError(f"{len(records)} records, 1 to {RECORDS_MAX} are taken")
    return tuple(records)


def write_records(records: Iterable[bytes]) -> str:
    """Write records as the value of the data element.

    Raises:
        RecordListError: none, too many, or they do not fit; see `fits`.

    >>> write_records([b"ab", b"c"])
    '002ab001c'
    """
    whole = list(records)
    if not whole or not fits(whole):
        raise RecordListError(f"{len(whole)} records do not make a list")
    return "".join(f"{len(record):03d}{record.decode('latin-1')}" for record in whole)


def fits(records: Iterable[bytes]) -> bool:
    """Whether records go into one data element."""
    lengths = [len(record) for record in records]
    return len(lengths) <= RECORDS_MAX and sum(lengths) + _LENGTH_DIGITS * len(lengths) <= DATA_ELEMENT_OCTETS_MAX
