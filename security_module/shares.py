"""The custodians' shares: a secret of 128 bits in n parts, any m of which give it back, as groups that a person can write down.

Shamir's scheme is that of pycryptodome, over GF(2^128). It gives *some* secret for any shares, also for wrong or mixed ones, so each share
says which set it belongs to and carries a check value, and whoever rebuilds the secret proves it against the check value of the key.
"""

import hashlib
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from Crypto.Protocol.SecretSharing import Shamir

from vending.secret import Secret

SECRET_OCTETS = 16
"""128 bits: as strong as the strongest key that it guards, and half as much to type as 256."""
CUSTODIANS_MAX = 9
"""One digit; more people than that do not meet."""
THRESHOLD_MIN = 2
"""With one share alone one person would hold the keys."""
SET_ID_OCTETS = 2
CHECK_OCTETS = 2
"""A slip of the pen passes once in 65 536; the digest in the store's header (`Share.digest`) then finds it."""
GROUP_DIGITS = 4

_SHARE_OCTETS = SET_ID_OCTETS + 2 + SECRET_OCTETS + CHECK_OCTETS


class ShareError(Exception):
    """A share cannot be used: mistyped, of another set, given twice, too few, or not the one that was handed out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One custodian's part.

    Attributes:
        set_id: 2 octets in hexadecimal, the same for all shares of one set.
        threshold: how many of the set are needed.
        index: 1 to `CUSTODIANS_MAX`.
        value: 16 octets.
    """

    set_id: str
    threshold: int
    index: int
    value: Secret[bytes]

    def __post_init__(self) -> None:
        if len(bytes.fromhex(self.set_id)) != SET_ID_OCTETS or len(self.value.reveal()) != SECRET_OCTETS:
            raise ShareError("a share of another length")
        if not THRESHOLD_MIN <= self.threshold <= CUSTODIANS_MAX or not 1 <= self.index <= CUSTODIANS_MAX:
            raise ShareError("a share with a threshold or a number out of range")

    def _octets(self) -> bytes:
        return bytes.fromhex(self.set_id) + bytes([self.threshold, self.index]) + self.value.reveal()

    def groups(self) -> Secret[str]:
        """Return the share as 11 groups of 4 hexadecimal digits: set, threshold and number, value (8 groups), check value."""
        content = self._octets()
        digits = (content + hashlib.sha256(content).digest()[:CHECK_OCTETS]).hex().upper()
        return Secret(" ".join(digits[at : at + GROUP_DIGITS] for at in range(0, len(digits), GROUP_DIGITS)))

    def digest(self) -> str:
        """Return what may be public of a share: 8 octets of SHA-256, in hexadecimal. 128 random bits cannot be guessed from it."""
        return hashlib.sha256(b"eudora share|" + self._octets()).digest()[:8].hex()


def read_share(typed: Secret[str]) -> Share:
    """Read what `Share.groups` wrote; blanks, hyphens and the case of letters do not matter.

    Raises:
        ShareError: not a share, or its check value is wrong.
    """
    digits = typed.reveal().replace(" ", "").replace("-", "").strip()
    if len(digits) != 2 * _SHARE_OCTETS or not set(digits) <= set(string.hexdigits):
        raise ShareError(f"a share has {2 * _SHARE_OCTETS} hexadecimal digits")
    octets = bytes.fromhex(digits)
    content, check = octets[:-CHECK_OCTETS], octets[-CHECK_OCTETS:]
    if hashlib.sha256(content).digest()[:CHECK_OCTETS] != check:
        raise ShareError("the check value of the share is wrong: a digit is mistyped")
    return Share(
        set_id=content[:SET_ID_OCTETS].hex(),
        threshold=content[SET_ID_OCTETS],
        index=content[SET_ID_OCTETS + 1],
        value=Secret(content[SET_ID_OCTETS + 2 :]),
    )


def split(
    secret: Secret[bytes], *, threshold: int, custodians: int, random_octets: Callable[[int], bytes]
) -> tuple[Share, ...]:
    """Make one share for each of *custodians*; any *threshold* of them give *secret* back, fewer say nothing of it.

    The coefficients come from the operating system's source, inside pycryptodome; *random_octets* only makes the id of the set.
    """
    if not THRESHOLD_MIN <= threshold <= custodians <= CUSTODIANS_MAX:
        raise ValueError(f"{threshold} of {custodians} shares")
    set_id = random_octets(SET_ID_OCTETS).hex()
    return tuple(
        Share(set_id=set_id, threshold=threshold, index=index, value=Secret(value))
        for index, value in Shamir.split(threshold, custodians, secret.reveal())
    )


def combine(shares: Sequence[Share]) -> Secret[bytes]:
    """Give the secret back. What comes out must still be proved: one wrong value among the shares gives another secret.

    Raises:
        ShareError: of more than one set, one of them twice, or too few.
    """
    if len({(share.set_id, share.threshold) for share in shares}) != 1:
        raise ShareError("the shares are not of one set")
    if len({share.index for share in shares}) != len(shares):
        raise ShareError("one share was given twice")
    threshold = shares[0].threshold
    if len(shares) < threshold:
        raise ShareError(f"{len(shares)} shares of {threshold}")
    return Secret(Shamir.combine([(share.index, share.value.reveal()) for share in shares[:threshold]]))
