"""What can be wrong with a token, a field or a request for one. Anything else that is raised here is a bug."""


class StsError(Exception):
    """Something the standard does not allow; the message names it and never holds a key or a token."""


class FieldRangeError(StsError):
    """A field holds a value that its bits or the standard do not allow."""


class UnsupportedError(StsError):
    """A combination of algorithms, a class or a sub-class that is not made or read here."""


class TokenFormatError(StsError):
    """What was typed is not twenty digits, or the number is beyond 66 bits."""


class TokenCrcError(StsError):
    """The token does not open under this key: another meter, supply group, key revision, tariff index, or a typing slip."""


def require_range(name: str, value: int, lowest: int, highest: int) -> None:
    """Refuse *value* unless ``lowest <= value <= highest``.

    Raises:
        FieldRangeError: with the name of the field and its range.
    """
    if not lowest <= value <= highest:
        raise FieldRangeError(f"{name} must be {lowest} to {highest}, not {value}")
