"""A dialect whose refusals carry a text of the network's own in data element 44, for terminals that show one to the cashier."""

from collections.abc import Mapping
from typing import Any, Final, cast

from acquirers.dialect import Dialect
from messages.iso_message import IsoMessage
from vending.response_code import ResponseCode

TEXT: Final = 44
"""Additional response data; the shortest of our dialects takes 25 characters."""


class _Worded:
    """A dialect that differs in its refusals only."""

    def __init__(self, dialect: Dialect, texts: Mapping[ResponseCode, str]) -> None:
        self._dialect = dialect
        self._texts = texts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dialect, name)

    def decline(self, message: IsoMessage | None, code: ResponseCode) -> IsoMessage | None:
        """Make the refusal, with its text where there is one."""
        answer = self._dialect.decline(message, code)
        text = self._texts.get(code)
        # What cannot be read, and what is answered with a rejection, has no terminal that could show a text.
        if answer is None or text is None or message is None or not message.is_request:
            return answer
        return answer.with_fields({TEXT: text})


def worded(dialect: Dialect, texts: Mapping[ResponseCode, str]) -> Dialect:
    """Return *dialect* with these texts in its refusals."""
    return cast(Dialect, _Worded(dialect, texts))
