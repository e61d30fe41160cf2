"""How a configuration is refused: every complaint names the key it is about, and never the value of a secret."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """One thing that is wrong.

    Attributes:
        key: dotted path of the key as in the TOML file, ``acquirers.datafono.port``; empty for the file as a whole.
        text: what is wrong with it, without the value that was given (it may be a secret).
    """

    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.key}: {self.text}" if self.key else self.text


class ConfigError(Exception):
    """The configuration cannot be used; ``str`` of it is for the operator, all complaints at once.

    Attributes:
        source: the file that was read, or "environment".
        complaints: at least one.
    """

    def __init__(self, source: str, complaints: Sequence[Complaint]) -> None:
        super().__init__(source, tuple(complaints))
        self.source = source
        self.complaints = tuple(complaints)

    def __str__(self) -> str:
        lines = "\n".join(f"  {complaint}" for complaint in self.complaints)
        return f"error in the configuration ({self.source}):\n{lines}"
