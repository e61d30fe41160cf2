"""The code lists of the standard that every other module speaks in."""

from enum import IntEnum


class EncryptionAlgorithm(IntEnum):
    """EA: how class 0 and class 2 tokens are encrypted. EA09 is deprecated by the standard and not made here."""

    STA = 7
    """64-bit key; its tables are configuration (see `sts.tables`)."""
    MISTY1 = 11
    """128-bit key, RFC 2994; the choice for new installations."""

    @property
    def key_octets(self) -> int:
        """Length of a decoder key under this algorithm."""
        return 8 if self is EncryptionAlgorithm.STA else 16


class KeyAlgorithm(IntEnum):
    """DKGA: how a decoder key is derived from a vending key. 01 and 03 have no published vectors and are left out."""

    DKGA02 = 2
    """Single DES, for STA meters only."""
    DKGA04 = 4
    """HMAC-SHA256 in one feedback round of NIST SP 800-108."""


class KeyType(IntEnum):
    """KT: what a decoder key is for."""

    INITIALISATION = 0
    """DITK, from the meter's factory."""
    DEFAULT = 1
    """DDTK: opens management tokens and key changes, never credit."""
    UNIQUE = 2
    """DUTK: the key of one meter in the field."""
    COMMON = 3
    """DCTK: shared, for magnetic cards only; not derived here."""


class BaseDate(IntEnum):
    """BDT: the midnight (UTC) that token identifiers count minutes from; the value is the field of the standard."""

    Y1993 = 93
    Y2014 = 14
    Y2035 = 35

    @property
    def year(self) -> int:
        """The calendar year, 1993, 2014 or 2035."""
        return 1900 + self if self is BaseDate.Y1993 else 2000 + self

    @property
    def field(self) -> str:
        """The two digits that enter key derivation."""
        return f"{int(self):02d}"


CREDIT_CLASS = 0
TEST_CLASS = 1
MANAGEMENT_CLASS = 2

KEY_NEVER_EXPIRES = 255
"""The key expiry number that no token identifier exceeds."""
