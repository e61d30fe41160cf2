"""The sub-elements inside data elements 48 and 63: tag (2), length (3 digits), value, one behind the other.

The length counts octets of Latin-1, which are the characters of the decoded text. Order is kept and a tag may repeat.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

DATA_ELEMENT_OCTETS_MAX = 999
"""What a data element with a three-digit length can hold."""

SUB_ELEMENT_HEAD_OCTETS = 5
"""Tag and length in front of each value."""

_TAG = re.compile(r"[A-Z][A-Z0-9]", re.ASCII)


@dataclass(frozen=True, slots=True)
class SubElement:
    """One tagged value: ``tag`` a capital letter and a capital letter or digit, ``value`` printable Latin-1, perhaps empty."""

    tag: str
    value: str

    def __post_init__(self) -> None:
        if not _TAG.fullmatch(self.tag):
            raise ValueError("the tag of a sub-element is a capital letter and a capital letter or a digit")
        if not is_printable_latin_1(self.value):
            raise ValueError(f"the value of sub-element {self.tag} is not printable Latin-1")

    @property
    def size_octets(self) -> int:
        """How much room it takes, tag and length included."""
        return SUB_ELEMENT_HEAD_OCTETS + len(self.value)


class SubElementError(ValueError):
    """Text that is not sub-elements. ``position_octets`` is where, from the first octet of the data element's value."""

    def __init__(self, position_octets: int, reason: str) -> None:
        super().__init__(f"sub-element at octet {position_octets}: {reason}")
        self.position_octets = position_octets
        self.reason = reason


class SubElementsTooLong(ValueError):
    """More sub-elements than a data element can hold. ``size_octets`` is what they would take."""

    def __init__(self, size_octets: int) -> None:
        super().__init__(f"{size_octets} octets of sub-elements do not fit into {DATA_ELEMENT_OCTETS_MAX}")
        self.size_octets = size_octets


def parse_sub_elements(text: str) -> tuple[SubElement, ...]:
    """Read the value of a data element.

    Args:
        text: the decoded value; empty gives no sub-elements.

    Raises:
        SubElementError: a tag, a length or a value is malformed or cut short.

    >>> parse_sub_elements("HN003AnaST0012")
    (SubElement(tag='HN', value='Ana'), SubElement(tag='ST', value='2'))
    """
    elements: list[SubElement] = []
    position = 0
    while position < len(text):
        start = position + SUB_ELEMENT_HEAD_OCTETS
        if start > len(text):
            raise SubElementError(position, "cut short before its value")
        tag, digits = text[position : position + 2], text[position + 2 : start]
        if not _TAG.fullmatch(tag):
            raise SubElementError(position, "not a tag")
        if not (digits.isascii() and digits.isdigit()):
            raise SubElementError(position + 2, "length is not 3 digits")
        value = text[start : start + int(digits)]
        if len(value) != int(digits):
            raise SubElementError(start, f"value of {tag} is cut short")
        if not is_printable_latin_1(value):
            raise SubElementError(start, f"value of {tag} is not printable Latin-1")
        elements.append(SubElement(tag, value))
        position = start + len(value)
    return tuple(elements)


def build_sub_elements(elements: Iterable[SubElement]) -> str:
    """Write sub-elements one behind the other.

    Raises:
        SubElementsTooLong: together they take more than 999 octets.

    >>> build_sub_elements([SubElement("HN", "Ana"), SubElement("ST", "2")])
    'HN003AnaST0012'
    """
    text = "".join(f"{element.tag}{len(element.value):03d}{element.value}" for element in elements)
    if len(text) > DATA_ELEMENT_OCTETS_MAX:
        raise SubElementsTooLong(len(text))
    return text


def first_value(elements: Iterable[SubElement], tag: str) -> str | None:
    """Return the value of the first sub-element with this tag, None if there is none."""
    return next((element.value for element in elements if element.tag == tag), None)


def is_printable_latin_1(text: str) -> bool:
    """Whether every character is printable and below 256: no controls, no no-break space, no soft hyphen."""
    return text.isprintable() and all(character <= "\xff" for character in text)
