"""The report of a certification: a Markdown page, in Spanish or English, and the same as JSON. No PIN is in either."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from messages.framing import Frame, FrameError, FrameReader
from messages.iso_message import DecodeError
from messages.tpdu import TPDU_OCTETS
from partner.case import Words
from partner.examiner import CaseResult, Outcome, Said
from partner.judge import PIN_DIGITS, PINS_ELEMENT
from partner.link import FRAME_OCTETS_MAX
from partner.network import Partner
from partner.run_tally import nested
from vending.calendar import local_time

CASES_VERSION: Final = "1"
"""Goes up when a case is added or asks for something else."""

SHOWN_OCTETS_PER_LINE: Final = 32
_MASK: Final = "**"
_PIN_LIKE: Final = re.compile(rb"[0-9]{%d,}" % PIN_DIGITS)

_OUTCOMES: Final = {
    Outcome.PASSED: Words("PASA", "PASSED"),
    Outcome.FAILED: Words("FALLA", "FAILED"),
    Outcome.SKIPPED: Words("no aplica", "skipped"),
}
_TITLE = Words("Certificación de la red", "Certification of the network")
_VERDICT = Words("Veredicto", "Verdict")
_DATE = Words("Fecha", "Date")
_ADDRESS = Words("Puerto", "Port")
_VERSIONS = Words("Versiones", "Versions")
_CASES = Words("casos", "cases")
_HEAD = Words(
    "| Caso | Qué se prueba | Resultado | ms |",
    "| Case | What is tried | Result | ms |",
)
_NOTICES = Words("Avisos recibidos", "Notices that came")
_FAILED = Words("Casos que fallan", "Cases that failed")
_WHY = Words("Por qué importa", "Why it matters")
_SENT = Words("enviado", "sent")
_RECEIVED = Words("recibido", "received")
_NEEDS = Words("falta", "lacks")
_CERTIFIED = Words("CERTIFICADA", "CERTIFIED")
_NOT_CERTIFIED = Words("NO CERTIFICADA", "NOT CERTIFIED")


@dataclass(slots=True, kw_only=True)
class Notices:
    """Notices that came during a certification: how many by MTI and outcome, and what was wrong with them."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def tell(self, name: str, words: str) -> None:
        """Take note of a fault."""
        self.faults.append(f"{name}: {words}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All of a certification.

    Attributes:
        partner: the network.
        address: the port that was tried, ``host:port``.
        at: when it ended, aware.
        version: of the program that tried.
        results: one for each case.
        notices: what came beside the cases.
    """

    partner: Partner
    address: str
    at: datetime
    version: str
    results: Sequence[CaseResult]
    notices: Notices = field(default_factory=Notices)

    @property
    def is_certified(self) -> bool:
        """Whether something was tried and nothing failed, and no notice was wrong."""
        if self.notices.faults:
            return False
        tried = [result for result in self.results if result.outcome is not Outcome.SKIPPED]
        return bool(tried) and all(result.outcome is Outcome.PASSED for result in tried)

    def count(self, outcome: Outcome) -> int:
        """Return how many cases ended so."""
        return sum(1 for result in self.results if result.outcome is outcome)


def as_markdown(report: Report, language: str) -> str:
    """Return the page."""
    verdict = (_CERTIFIED if report.is_certified else _NOT_CERTIFIED).of(language)
    counts = ", ".join(f"{report.count(each)} {_OUTCOMES[each].of(language)}" for each in Outcome)
    lines = [
        f"# {_TITLE.of(language)} {report.partner.id}",
        "",
        f"- {_VERDICT.of(language)}: **{verdict}** ({len(report.results)} {_CASES.of(language)}: {counts})",
        f"- {_DATE.of(language)}: {local_time(report.at):%Y-%m-%d %H:%M:%S} America/Bogota",
        f"- {_ADDRESS.of(language)}: {report.address}, {report.partner.dialect}",
        f"- {_VERSIONS.of(language)}: eudora {report.version}, {_CASES.of(language)} {CASES_VERSION}",
        *_notice_lines(report.notices, language),
        "",
        _HEAD.of(language),
        "|---|---|---|---|",
        *(_row(result, language) for result in report.results),
        "",
    ]
    failed = [result for result in report.results if result.outcome is Outcome.FAILED]
    if failed:
        lines += [f"## {_FAILED.of(language)}", ""]
        for result in failed:
            lines += _details(result, report.partner, language)
    return "\n".join(lines)


def _notice_lines(notices: Notices, language: str) -> list[str]:
    lines = []
    if notices.counts:
        counts = ", ".join(f"{mti} {outcome} {count}" for (mti, outcome), count in sorted(notices.counts.items()))
        lines.append(f"- {_NOTICES.of(language)}: {counts}")
    return [*lines, *(f"- **{fault}**" for fault in notices.faults)]


def result_line(result: CaseResult, language: str) -> str:
    """Return one case as a line of text, with its first fault."""
    text = f"{result.case.id}  {_OUTCOMES[result.outcome].of(language):<9}  {result.case.title.of(language)}"
    return text + _because(result, language)


def as_json(report: Report, language: str) -> dict[str, Any]:
    """Return everything as data."""
    return {
        "network": report.partner.id,
        "dialect": report.partner.dialect,
        "address": report.address,
        "at": report.at.isoformat(),
        "version": report.version,
        "cases_version": CASES_VERSION,
        "is_certified": report.is_certified,
        **{each.value: report.count(each) for each in Outcome},
        "notices": nested(report.notices.counts),
        "notice_faults": report.notices.faults,
        "cases": [
            {
                "id": result.case.id,
                "title": result.case.title.of(language),
                "outcome": result.outcome.value,
                "milliseconds": result.milliseconds,
                "faults": [fault.of(language) for fault in result.faults],
                "lacks": [need.value.of(language) for need in result.missing],
                "octets": [{"is_sent": said.is_sent, "hex": masked_hex(said, report.partner)} for said in result.said]
                if result.outcome is Outcome.FAILED
                else [],
            }
            for result in report.results
        ],
    }


def masked_hex(said: Said, partner: Partner) -> str:
    """Return octets as hexadecimal, two digits each, those of PINs as ``**``."""
    pairs = [f"{octet:02X}" for octet in said.octets]
    for start, stop in _secret_places(said.octets, partner):
        pairs[start:stop] = [_MASK] * (stop - start)
    return " ".join(pairs)


def _secret_places(octets: bytes, partner: Partner) -> list[tuple[int, int]]:
    """Return where PINs stand. What cannot be read is masked wherever there could be one."""
    pins = []
    reader = FrameReader(partner.wire.frame_style, FRAME_OCTETS_MAX)
    try:
        for event in reader.receive(octets):
            if isinstance(event, Frame):
                body = event.octets[TPDU_OCTETS if partner.wire.has_tpdu else 0 :]
                pins.append(partner.wire.codec.decode(body).get(PINS_ELEMENT) or "")
    except (FrameError, DecodeError):
        return _pin_like(octets)
    if reader.is_unfinished:
        return _pin_like(octets)
    places = []
    for digits in filter(None, pins):
        start = octets.find(digits.encode("latin-1"))
        while start >= 0:
            places.append((start, start + len(digits)))
            start = octets.find(digits.encode("latin-1"), start + 1)
    return places


def _pin_like(octets: bytes) -> list[tuple[int, int]]:
    return [match.span() for match in _PIN_LIKE.finditer(octets)]


def _row(result: CaseResult, language: str) -> str:
    outcome = _OUTCOMES[result.outcome].of(language)
    return f"| {result.case.id} | {result.case.title.of(language)} | {outcome}{_because(result, language)} | {result.milliseconds} |"


def _because(result: CaseResult, language: str) -> str:
    if result.faults:
        return f": {result.faults[0].of(language)}"
    if result.missing:
        return f": {_NEEDS.of(language)} {', '.join(need.value.of(language) for need in result.missing)}"
    return ""


def _details(result: CaseResult, partner: Partner, language: str) -> list[str]:
    lines = [f"### {result.case.id} {result.case.title.of(language)}", ""]
    lines += [f"{_WHY.of(language)}: {result.case.why.of(language)}", ""]
    lines += [f"- {fault.of(language)}" for fault in result.faults]
    lines += ["", "```"]
    for said in result.said:
        word = (_SENT if said.is_sent else _RECEIVED).of(language)
        pairs = masked_hex(said, partner).split()
        for place in range(0, len(pairs), SHOWN_OCTETS_PER_LINE):
            head = word if place == 0 else ""
            lines.append(f"{head:<9} {' '.join(pairs[place : place + SHOWN_OCTETS_PER_LINE])}")
    return [*lines, "```", ""]
