"""People at a ceremony, for tests: they answer by a script, and remember what stood on the screen between two clearings."""

import re
from collections.abc import Iterable
from typing import TypeVar

from security_module.dialogue import Ask, Clear, Dialogue, Show

T = TypeVar("T")

SHARE = object()
"""Type what the screen showed as a share last."""

GROUPS = re.compile(r"(?:[0-9A-F]{4}[ \n]+){10}[0-9A-F]{4}")

KEY_20 = ("11" * 20, "2f" * 20)
"""Two components of a vending key for DKGA04; their exclusive or is 3e3e..."""
KCV_20 = "b2679f"

NEW_MODULE = ("Olga", "3", "2", "Ana", "Beto", "Caro")
VENDING = (
    *(
        "1",
        "21",
        "201457",
        "1",
        "255",
        "2014",
        "2",
        "4",
        "7,11",
        "0,1,2",
        "9999",
        "0",
        "1000000",
        "0",
        "0",
        "0",
        "",
        "",
        "s",
    ),
    *("2", "1", "2", "", KEY_20[0], "s", "", KEY_20[1], "s", KCV_20),
)
"""Register 21, without replacing one; components by the first and the second person."""
MAC = ("2", "30", "2", "1", "s", "2", "2", "3", "", "ab" * 16, "s", "", "cd" * 16, "s")
SHARES = ("", "", SHARE, "") * 3
WORD = "SELLAR"


class Screen:
    """What was seen: one text per clearing, and every question."""

    def __init__(self) -> None:
        self.pages: list[str] = [""]
        self.questions: list[Ask] = []

    @property
    def shares(self) -> list[str]:
        """Every share that was shown, in order."""
        shown = [" ".join(found.split()) for page in self.pages for found in GROUPS.findall(page)]
        return list(dict.fromkeys(shown))


def lead(dialogue: Dialogue[T], script: Iterable[object], screen: Screen | None = None) -> T:
    """Lead *dialogue* with the lines of *script*; all of them must be used, and be enough."""
    screen = screen if screen is not None else Screen()
    lines = list(script)
    answer = None
    while True:
        try:
            step = dialogue.send(answer) if answer is not None else next(dialogue)
        except StopIteration as stop:
            assert not lines, f"left over: {lines}"
            result: T = stop.value
            return result
        answer = ""
        if isinstance(step, Clear):
            screen.pages.append("")
        elif isinstance(step, Show):
            screen.pages[-1] += step.text + "\n"
        else:
            screen.questions.append(step)
            assert lines, f"no answer for {step.text}"
            line = lines.pop(0)
            answer = screen.shares[-1] if line is SHARE else str(line)
