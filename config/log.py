"""Section ``log``: how much is written and where to."""

from typing import Literal

from config.section import HomePath, Section


class LogSection(Section):
    """One JSON object per line.

    Attributes:
        level: lines below it are not written.
        file: the file that lines are appended to; None: standard output, where the service supervisor collects them.
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    file: HomePath | None = None
