"""What each error of a PrismToken-style service means for a sale: the whole mapping, in one table.

Names are those of the public interface. A name that is not here counts by its beginning (``ESts.Any`` as ``ESts``); one of which nothing
is known leaves the outcome unknown.
"""

from enum import Enum
from typing import NamedTuple

from messages.security_module import Status


class Meaning(Enum):
    """What an error says about the request."""

    VERDICT = "verdict"
    """Refused for what it asks: no token was made, and asked the same again there will be none."""
    NOT_DONE = "not_done"
    """Nothing was made now, for a reason that is not in the request: later, or elsewhere, it may be done."""
    SIGN_IN = "sign_in"
    """Not done because the access token is over: sign in, and ask the same again."""
    NOT_KNOWN = "not_known"
    """The service remembers no result under this id."""
    UNKNOWN = "unknown"
    """Something may have been made."""


class Fault(NamedTuple):
    """The meaning, and for a verdict our own status."""

    meaning: Meaning
    status: Status = Status.INTERNAL_ERROR


FAULTS: dict[str, Fault] = {
    "EAuthentication": Fault(Meaning.NOT_DONE),
    "EAuthentication.Permission": Fault(Meaning.NOT_DONE),
    "EAuthentication.Token": Fault(Meaning.SIGN_IN),
    "ECacheMiss": Fault(Meaning.NOT_KNOWN),
    "EKeystore.NotFound": Fault(Meaning.VERDICT, Status.UNKNOWN_REGISTER),
    "EParamRange": Fault(Meaning.VERDICT, Status.FORMAT_ERROR),
    "EPrefRange": Fault(Meaning.VERDICT, Status.FORMAT_ERROR),
    "EService": Fault(Meaning.NOT_DONE),
    "EService.Disabled": Fault(Meaning.NOT_DONE),
    "ESignin": Fault(Meaning.NOT_DONE),
    # The module behind the service failed, perhaps after it had made a token.
    "ESm": Fault(Meaning.UNKNOWN),
    "ESts.DrnOrPan": Fault(Meaning.VERDICT, Status.PAN_INVALID),
    "ESts.DrnOrPan.CheckDigit": Fault(Meaning.VERDICT, Status.PAN_INVALID),
    "ESts.IdRecord": Fault(Meaning.VERDICT, Status.FORMAT_ERROR),
    "ESts.IdRecord.Expired": Fault(Meaning.VERDICT, Status.REGISTER_EXPIRED),
    "ESts.VkBeforeBdt": Fault(Meaning.VERDICT, Status.REGISTER_CONTRADICTION),
    "ESts.VkExpired": Fault(Meaning.VERDICT, Status.REGISTER_EXPIRED),
}


def fault_of(code: str) -> Fault:
    """Return what *code* means, by itself or by the longest beginning of it that is known.

    >>> fault_of("ESts.DrnOrPan.Other").meaning, fault_of("ENew").meaning
    (<Meaning.VERDICT: 'verdict'>, <Meaning.UNKNOWN: 'unknown'>)
    """
    while code not in FAULTS:
        code, dot, _ = code.rpartition(".")
        if not dot:
            return Fault(Meaning.UNKNOWN)
    return FAULTS[code]
