"""The sub-elements inside data elements 48 and 63: tag (2), length (3 digits), value, one behind the other.

The length counts octets of Latin-1, which are the characters of the decoded text. Order is kept and a tag may repeat.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from string import ascii_uppercase, digits
from typing import Final

DATA_ELEMENT_OCTETS_MAX = 999
"""What a data element with a three-digit length can hold."""

SUB_ELEMENT_HEAD_OCTETS = 5
"""Tag and length in front of each value."""

TAGS: Final = frozenset(map("".join, product(ascii_uppercase, ascii_uppercase + digits)))
"""Every tag there can be: a capital letter and a capital letter or a digit."""

_NOT_A_TAG = "the tag of a sub-element is a capital letter and a capital letter or a digit"


@dataclass(frozen=True, slots=True)
class SubElement:
    """One tagged value: ``tag`` a capital letter and a capital letter or digit, ``value`` printable Latin-1, perhaps empty."""

    tag: str
    value: str

    def __post_init__(self) -> None:
        if self.tag not in TAGS:
            raise ValueError(_NOT_A_TAG)
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
        tag, length = text[position : position + 2], text[position + 2 : start]
        if tag not in TAGS:
            raise SubElementError(position, "not a tag")
        if not (length.isascii() and length.isdigit()):
            raise SubElementError(position + 2, "length is not 3 digits")
        value = text[start : start + int(length)]
        if len(value) != int(length):
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
    return write_sub_elements([(element.tag, element.value) for element in elements])


def write_sub_elements(elements: Iterable[tuple[str, str]]) -> str:
    """Write sub-elements, given as (tag, value), one behind the other: the way of an answer, which is checked as a whole.

    Raises:
        ValueError: a tag is none, or a value is not printable Latin-1.
        SubElementsTooLong: together they take more than 999 octets.

    >>> write_sub_elements([("HN", "Ana"), ("ST", "2")])
    'HN003AnaST0012'
    """
    pairs = list(elements)
    if not TAGS.issuperset([tag for tag, _ in pairs]):
        raise ValueError(_NOT_A_TAG)
    text = "".join([f"{tag}{len(value):03d}{value}" for tag, value in pairs])
    if len(text) > DATA_ELEMENT_OCTETS_MAX:
        raise SubElementsTooLong(len(text))
    if not is_printable_latin_1(text):
        raise ValueError("the value of a sub-element is not printable Latin-1")
    return text


def sub_elements_size_octets(elements: Sequence[tuple[str, str]]) -> int:
    """Return how much room (tag, value) pairs take, tags and lengths included."""
    return SUB_ELEMENT_HEAD_OCTETS * len(elements) + sum([len(value) for _, value in elements])


def first_value(elements: Iterable[SubElement], tag: str) -> str | None:
    """Return the value of the first sub-element with this tag, None if there is none."""
    return next((element.value for element in elements if element.tag == tag), None)


def is_printable_latin_1(text: str) -> bool:
    """Whether every character is printable and below 256: no controls, no no-break space, no soft hyphen."""
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return text.isprintable()
