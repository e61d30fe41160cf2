"""What makes two messages under one key the same request, as one digest."""

import hashlib
from collections.abc import Iterable

from messages.iso_message import IsoMessage


def digest_of(message: IsoMessage, numbers: Iterable[int]) -> bytes:
    """SHA-256 over the message class and those of the data elements that are there, each as number, length and value.

    Number and length stand in front, so that no two contents look alike.
    """
    fields = message.fields
    parts = [f"{number}:{len(value)}:{value}" for number in numbers if (value := fields.get(number)) is not None]
    return hashlib.sha256("|".join([message.message_class, *parts]).encode("latin-1")).digest()
