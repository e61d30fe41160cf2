"""A strip of printer paper so many columns wide: lines are set on it, never cut and never over the edge."""

import textwrap

COLUMNS_WIDE = 42
COLUMNS_NARROW = 32
"""The two papers of datáfonos: 80 mm and 58 mm."""
COLUMNS_MIN = 28
"""A boxed PIN of 20 digits in fours needs that much."""


class Paper:
    """Collects lines of at most ``columns`` characters."""

    def __init__(self, columns: int) -> None:
        if columns < COLUMNS_MIN:
            raise ValueError(f"{columns} columns are too few for a PIN, at least {COLUMNS_MIN}")
        self._columns = columns
        self._lines: list[str] = []

    def render(self) -> str:
        """Return the text, without spaces at line ends, with one newline at the end."""
        return "\n".join(line.rstrip() for line in self._lines) + "\n"

    def blank(self) -> None:
        """Leave a line free."""
        self._lines.append("")

    def rule(self, stroke: str = "─") -> None:
        """Draw a line across."""
        self._lines.append(stroke * self._columns)

    def centre(self, text: str) -> None:
        """Set a text in the middle, on as many lines as it needs."""
        self._lines.extend(line.center(self._columns) for line in self._wrap(text, self._columns))

    def left(self, text: str, indent: int = 0) -> None:
        """Set a text at the left edge, on as many lines as it needs."""
        self._lines.extend(" " * indent + line for line in self._wrap(text, self._columns - indent))

    def pair(self, label: str, value: str, indent: int = 0) -> None:
        """Set a label left and its value right; a long value goes on below, still at the right edge."""
        start = " " * indent + label
        room = self._columns - len(start) - 1
        if len(value) <= room:
            self._lines.append(start + value.rjust(self._columns - len(start)))
            return
        rest = self._wrap(value, room) if room >= _VALUE_COLUMNS_MIN else []
        if rest:
            self._lines.append(start + rest.pop(0).rjust(self._columns - len(start)))
        else:
            self.left(label, indent)
            rest = self._wrap(value, self._columns - indent - 1)
        self._lines.extend(line.rjust(self._columns) for line in rest)

    def columns(self, left: str, middle: str, right: str) -> None:
        """Set three columns: the first at the left edge, the other two ending at fixed places."""
        right_columns = self._columns * 2 // 5
        middle_columns = self._columns * 3 // 10
        left_columns = self._columns - middle_columns - right_columns
        if len(left) > left_columns or len(middle) >= middle_columns or len(right) >= right_columns:
            self.pair(left, middle)
            if right:
                self.pair("", right)
            return
        self._lines.append(left.ljust(left_columns) + middle.rjust(middle_columns) + right.rjust(right_columns))

    def box(self, title: str, rows: list[str]) -> None:
        """Frame a title and rows, each centred with air above and below."""
        inner = self._columns - 2
        self._lines.append("╔" + f" {title} ".center(inner, "═") + "╗")
        for row in ["", *rows]:
            self._lines.append("║" + row.center(inner) + "║")
            if row:
                self._lines.append("║" + " " * inner + "║")
        self._lines.append("╚" + "═" * inner + "╝")

    def _wrap(self, text: str, columns: int) -> list[str]:
        return textwrap.wrap(text, columns) or [""]


_VALUE_COLUMNS_MIN = 16
"""A value is not broken into pieces narrower than this; it gets lines of its own instead."""
