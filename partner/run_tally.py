"""What a simulated network counts: answers, times, its own sales, and everything that was wrong. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from acquirers.response_codes import ISO_1987
from pos.tally import Sold, Tally
from vending.response_code import ResponseCode
from vending.settlement import DayTotals

FAULTS_TOLD_MAX: Final = 50
"""So many are told in words; all are counted."""

LATENCIES_MAX: Final = 1_000_000
"""About 30 MB; what comes later is counted and not timed."""

_NAMES: Final = {text: code.value for code, text in ISO_1987.items()}

BUSY: Final = frozenset({ResponseCode.METER_BUSY, ResponseCode.OVERLOADED})
"""Right answers to any sale: it may be asked for anew later."""

RIGHT: Final[Mapping[str, frozenset[ResponseCode]]] = {
    "recharge": BUSY | {ResponseCode.APPROVED, ResponseCode.AMOUNT_TOO_LOW, ResponseCode.FLOAT_SHORT},
    "payment": BUSY
    | {ResponseCode.APPROVED, ResponseCode.NOTHING_OWED, ResponseCode.OVERPAID, ResponseCode.FLOAT_SHORT},
    "inquiry": frozenset({ResponseCode.APPROVED, ResponseCode.AMOUNT_TOO_LOW, ResponseCode.OVERLOADED}),
    "last answer": frozenset(
        {ResponseCode.APPROVED, ResponseCode.ORIGINAL_NOT_FOUND, ResponseCode.IN_PROGRESS, ResponseCode.OVERLOADED}
    ),
    "reversal": frozenset({ResponseCode.APPROVED, ResponseCode.SALE_STANDS, ResponseCode.OVERLOADED}),
    "advice": frozenset({ResponseCode.APPROVED, ResponseCode.ORIGINAL_NOT_FOUND, ResponseCode.OVERLOADED}),
    "sign-on": frozenset({ResponseCode.APPROVED}),
    "sign-off": frozenset({ResponseCode.APPROVED}),
    "echo": frozenset({ResponseCode.APPROVED}),
    "unknown meter": frozenset({ResponseCode.METER_UNKNOWN, ResponseCode.OVERLOADED}),
    "too little": frozenset({ResponseCode.AMOUNT_BELOW_MINIMUM, ResponseCode.OVERLOADED}),
    "totals before": frozenset({ResponseCode.APPROVED, ResponseCode.TOTALS_DIFFER, ResponseCode.FORMAT_ERROR}),
    "totals": frozenset({ResponseCode.APPROVED}),
}
"""Which codes are right for what was asked. A kind that is not here takes any."""


@dataclass(slots=True, kw_only=True)
class RunTally:
    """Counts of one run.

    Attributes:
        codes: how many of each kind and code, ``("recharge", "00")``.
        latencies_ms: from the first copy to its answer, where nothing was made wrong on purpose.
        faults: how many of each fault.
        told: the first of them in words, without any PIN.
        lost: answers that were thrown away on purpose.
        repeated: requests that were sent again.
        doubled: requests that were sent twice at once.
        spoilt: requests with a wrong MAC.
        links_lost: links that the other end closed.
        tallies: what each terminal sold, by its own count.
        before: what the books said at the start, by terminal and day.
        notices: copies of notices that came, by MTI and what the host did with them.
    """

    codes: Counter[tuple[str, str]] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list, repr=False)
    faults: Counter[str] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)
    lost: int = 0
    repeated: int = 0
    doubled: int = 0
    spoilt: int = 0
    links_lost: int = 0
    tallies: dict[str, Tally] = field(default_factory=dict)
    before: dict[tuple[str, date], DayTotals] = field(default_factory=dict)
    notices: Counter[tuple[str, str]] = field(default_factory=Counter)
    _pins: dict[str, str] = field(default_factory=dict, repr=False)

    def answered(self, kind: str, code: str, where: str) -> None:
        """Count a final answer; a code that is not right for its kind is a fault."""
        self.codes[kind, code] += 1
        right = RIGHT.get(kind)
        if right is not None and code not in {ISO_1987[each] for each in right}:
            self.fault("unexpected_code", f"{where}: {kind} got {code} ({_NAMES.get(code, 'no code of ours')})")

    def timed(self, milliseconds: float) -> None:
        """Keep how long an answer took."""
        if len(self.latencies_ms) < LATENCIES_MAX:
            self.latencies_ms.append(milliseconds)

    def fault(self, name: str, words: str) -> None:
        """Count something that is wrong."""
        self.faults[name] += 1
        if len(self.told) < FAULTS_TOLD_MAX:
            self.told.append(words)

    def sold(self, terminal_id: str, found: Sold) -> None:
        """Count a sale that stands, or what a reversal gave back."""
        self.tallies[terminal_id] = self.tallies.get(terminal_id, Tally()).with_sold(found)

    def pins(self, sale: str, pins: Sequence[str]) -> None:
        """Remember whose PINs these are; a PIN of another sale is a fault."""
        for pin in pins:
            holder = self._pins.setdefault(pin, sale)
            if holder != sale:
                self.fault("pin_twice", f"{sale} got a PIN that {holder} got before")

    def forget_pins(self, sale: str) -> None:
        """The sale was reversed and its token parked: the next sale on the meter hands it out."""
        self._pins = {pin: holder for pin, holder in self._pins.items() if holder != sale}

    @property
    def distinct_pins(self) -> int:
        """How many different PINs came."""
        return len(self._pins)

    @property
    def days(self) -> list[date]:
        """Every settlement day on which a terminal sold."""
        return sorted({day for tally in self.tallies.values() for day in tally.days})

    @property
    def answers(self) -> int:
        """How many final answers came."""
        return self.codes.total()

    def as_json(self) -> dict[str, Any]:
        """Return everything as data."""
        return {
            "answers": self.answers,
            "codes": nested(self.codes),
            "notices": nested(self.notices),
            "p50_ms": percentile(self.latencies_ms, 50),
            "p99_ms": percentile(self.latencies_ms, 99),
            "pins": self.distinct_pins,
            "answers_lost_on_purpose": self.lost,
            "sent_twice_on_purpose": self.doubled,
            "spoilt_on_purpose": self.spoilt,
            "repeated": self.repeated,
            "links_lost": self.links_lost,
            "faults": dict(self.faults),
            "told": self.told,
            "is_right": not self.faults,
        }


def nested(counts: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    """Return counts by two names as data.

    >>> nested(Counter({("0520", "known"): 1, ("0520", "accepted"): 2}))
    {'0520': {'accepted': 2, 'known': 1}}
    """
    found: dict[str, dict[str, int]] = {}
    for (first, second), count in sorted(counts.items()):
        found.setdefault(first, {})[second] = count
    return found


def percentile(values: Sequence[float], share: int) -> float | None:
    """Return the smallest value that *share* percent of all are not above; None of nothing.

    >>> percentile([1.0, 2.0, 3.0, 4.0], 50)
    2.0
    """
    if not values:
        return None
    return sorted(values)[max(0, -(-len(values) * share // 100) - 1)]
