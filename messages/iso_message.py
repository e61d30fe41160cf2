"""One ISO 8583 message as data: an MTI and the data elements present, and the two errors of reading and writing one."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

MTI_FIELD = 0
"""`DecodeError.field` and `EncodeError.field` for the message type indicator."""

BITMAP_FIELD = 1
"""`DecodeError.field` for a bitmap that is cut short."""

# 1 is the secondary bitmap; 65 would announce a third one, which 1987 does not have.
_DATA_ELEMENTS = frozenset(range(2, 129)) - {65}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class IsoMessage:
    """An MTI and its data elements, each as text.

    Digits are kept as they stand in the message (leading zeros too), binary elements as upper-case hex, and amounts with a sign as
    ``C`` or ``D`` and digits. The elements are in ascending order whatever order they were given in. The ``repr`` names the elements
    and shows no value, because a PIN may be one.

    Attributes:
        mti: message type indicator, 4 digits.
        fields: data element number (2 to 128) to value; a read-only copy of what was given.
    """

    mti: str
    fields: Mapping[int, str]

    def __post_init__(self) -> None:
        if len(self.mti) != 4 or not (self.mti.isascii() and self.mti.isdigit()):
            raise ValueError("an MTI is 4 digits")
        if not _DATA_ELEMENTS.issuperset(self.fields):
            (wrong, *_) = set(self.fields) - _DATA_ELEMENTS
            raise ValueError(f"{wrong} is not the number of a data element")
        object.__setattr__(self, "fields", MappingProxyType(dict(sorted(self.fields.items()))))

    @classmethod
    def unchecked(cls, mti: str, fields: dict[int, str]) -> "IsoMessage":
        """Build without checks; for a codec that has just checked *mti* and put *fields* in order."""
        message = object.__new__(cls)
        object.__setattr__(message, "mti", mti)
        object.__setattr__(message, "fields", MappingProxyType(fields))
        return message

    def __repr__(self) -> str:
        return f"IsoMessage(mti={self.mti!r}, fields={list(self.fields)})"

    def __contains__(self, number: int) -> bool:
        return number in self.fields

    @property
    def message_class(self) -> str:
        """The MTI without its repeat and origin digit: "0200" for 0200 and 0201."""
        return self.mti[:3] + "0"

    @property
    def is_repeat(self) -> bool:
        """Whether the last MTI digit says that this message was sent before (1, 3 or 5)."""
        return self.mti[3] in "135"

    @property
    def is_request(self) -> bool:
        """Whether the third MTI digit is even: a request or an advice, not an answer to one."""
        return self.mti[2] in "02468"

    @property
    def answer_mti(self) -> str:
        """The MTI of the answer: "0210" for 0200 and 0201, "1814" for 1804 and 1805; who began keeps his digit.

        Raises:
            ValueError: the message is an answer itself.
        """
        if not self.is_request:
            raise ValueError(f"{self.mti} is not a request")
        originator = int(self.mti[3]) & ~1 if self.mti[3] in "012345" else 0
        return f"{self.mti[:2]}{int(self.mti[2]) + 1}{originator}"

    def get(self, number: int) -> str | None:
        """Return a data element as text, None if it is not there."""
        return self.fields.get(number)

    def text(self, number: int) -> str:
        """Return a data element as text.

        Raises:
            FieldMissing: it is not there.
        """
        value = self.fields.get(number)
        if value is None:
            raise FieldMissing(number)
        return value

    def number(self, number: int) -> int:
        """Return an ``n`` data element as an integer.

        Raises:
            FieldMissing: it is not there.
            FieldMalformed: it is empty or not all digits (no decoded ``n`` element is the latter).
        """
        value = self.text(number)
        if not (value.isascii() and value.isdigit()):
            raise FieldMalformed(number)
        return int(value)

    def octets(self, number: int) -> bytes:
        """Return a binary data element as octets.

        Raises:
            FieldMissing: it is not there.
            FieldMalformed: it is not hex (no decoded ``b`` element is).
        """
        try:
            return bytes.fromhex(self.text(number))
        except ValueError:
            raise FieldMalformed(number) from None

    def with_fields(self, fields: Mapping[int, str]) -> "IsoMessage":
        """Return a copy with these elements set or replaced."""
        return replace(self, fields={**self.fields, **fields})

    def without_fields(self, *numbers: int) -> "IsoMessage":
        """Return a copy without these elements; one that is not there is no error."""
        return replace(self, fields={number: value for number, value in self.fields.items() if number not in numbers})


class FieldMissing(LookupError):
    """A data element that was asked for is not in the message. ``field`` is its number."""

    def __init__(self, field: int) -> None:
        super().__init__(f"data element {field} is missing")
        self.field = field


class FieldMalformed(ValueError):
    """A data element does not have the form that was asked for. ``field`` is its number."""

    def __init__(self, field: int) -> None:
        super().__init__(f"data element {field} is malformed")
        self.field = field


class DecodeError(ValueError):
    """Octets that are not a message of the dialect. The text names place and reason, and never a value.

    Attributes:
        field: the data element at fault; 0 the MTI, 1 a bitmap cut short; None: octets follow the last data element.
        position_octets: where the fault was seen, from 0, counted from the first octet of the MTI.
        reason: in English, without any value of the message.
        mti: the MTI, None if it is what is at fault.
        partial: the data elements before the one at fault, each checked.
        raw: all the octets. Secret, as they may hold a PIN; not part of the text.
    """

    def __init__(
        self,
        *,
        field: int | None,
        position_octets: int,
        reason: str,
        mti: str | None,
        partial: Mapping[int, str],
        raw: bytes,
    ) -> None:
        place = "after the last data element" if field is None else _place(field)
        super().__init__(f"{place}, octet {position_octets}: {reason}")
        self.field = field
        self.position_octets = position_octets
        self.reason = reason
        self.mti = mti
        self.partial: Mapping[int, str] = MappingProxyType(dict(partial))
        self.raw = raw


class EncodeError(ValueError):
    """A message that the dialect cannot carry: our own fault, or our caller's. ``field`` as in `DecodeError`."""

    def __init__(self, *, field: int, reason: str) -> None:
        super().__init__(f"{_place(field)}: {reason}")
        self.field = field
        self.reason = reason


def _place(field: int) -> str:
    if field == MTI_FIELD:
        return "MTI"
    if field == BITMAP_FIELD:
        return "bitmap"
    return f"data element {field}"
