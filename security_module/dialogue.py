"""A dialogue with people at a terminal, without the terminal: it yields what to show or ask, and is sent the lines they type.

`security_module.ceremony_dialogue` says what is asked; `cli.ceremony_terminal` moves the lines.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")

TRIES_MAX = 5
"""Wrong answers to one question before the dialogue ends: who guesses longer has the wrong paper in his hand."""


@dataclass(frozen=True, slots=True)
class Show:
    """A text to be shown; may hold a share, so it is not in the ``repr``."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Clear:
    """Clear the screen and what can be scrolled back: another person comes to the terminal."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A question for one line; a secret one is not echoed. A pause waits for Enter: what else is typed there is not shown either."""

    text: str
    is_secret: bool = False
    is_pause: bool = False


Step = Show | Clear | Ask
Dialogue = Generator[Step, str, T]
"""`Ask` is answered with the line, without its end; the others with an empty text."""


class Aborted(Exception):
    """The people ended the dialogue, or could not answer; nothing was changed."""


class Refused(Exception):
    """An answer that is not taken; the text says why and the question is put again."""


def ask(question: Ask, read: Callable[[str], T], sorry: str) -> Dialogue[T]:
    """Ask until *read* takes the answer.

    Args:
        question: what to ask.
        read: makes a value of the line, or raises `Refused` or ValueError.
        sorry: shown before the reason when it does.

    Raises:
        Aborted: after `TRIES_MAX` answers that were not taken.
    """
    for _ in range(TRIES_MAX):
        line = yield question
        try:
            return read(line.strip())
        except Refused as refusal:
            yield Show(f"{sorry} {refusal}".rstrip())
        except ValueError:
            yield Show(sorry)
    raise Aborted("answers")
