"""Two people sign: one asks, with evidence, another decides. What adjustments of sales and deposits of networks have in common.

The rules say what they found; each of the two refuses in its own words.
"""

import re
from enum import Enum

EVIDENCE_CHARACTERS_MAX = 2000
"""A case number, what was seen, where the paper is: not the paper itself."""

_USER = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")


class Verdict(Enum):
    """What may become of a decision."""

    TO_DECIDE = "to_decide"
    """It is open and somebody else asked."""
    DECIDED_SO = "decided_so"
    """The same person decided the same before: nothing changes."""
    SAME_PERSON = "same_person"
    """Who asked decides nothing."""
    ALREADY_DECIDED = "already_decided"
    """By somebody else, or the other way."""


def user_name(text: str) -> str | None:
    """Return the name of a user as it is stored and compared; None when this is no name.

    A name is 1 to 64 of a-z, 0-9, point, hyphen, underscore and @; capitals are made small, so that nobody is two people.

    >>> user_name(" Ana.Rojas ")
    'ana.rojas'
    >>> user_name("Ana Rojas") is None
    True
    """
    user = text.strip().lower()
    return user if _USER.fullmatch(user) else None


def judge_decision(*, asked_by: str, decided_by: str | None, is_as_wanted: bool, user: str) -> Verdict:
    """Say whether *user* may decide now; all names from `user_name`.

    Args:
        asked_by: who asked.
        decided_by: who decided; None while it is open.
        is_as_wanted: whether it was decided the way it is to be decided now.
        user: who decides now.

    >>> judge_decision(asked_by="ana", decided_by=None, is_as_wanted=False, user="luz").value
    'to_decide'
    """
    if user == asked_by:
        return Verdict.SAME_PERSON
    if decided_by is None:
        return Verdict.TO_DECIDE
    return Verdict.DECIDED_SO if is_as_wanted and user == decided_by else Verdict.ALREADY_DECIDED
