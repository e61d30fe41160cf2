"""After `benchmarks.isolation`: each network closes its day and compares its own file, made from what its load wrote down, with the books."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from sqlalchemy import Engine, text

from benchmarks.isolation_load import NetworkPlan, Outcome, read_journal
from ledger.day_close import close_days
from ledger.network_terms import read_terms
from ledger.reconcile import TheirFile, compare_file
from ledger.settlement_file import write_settlement_file
from messages.framing import write_frame
from messages.settlement_file import SettlementSums, header_line, trailer_line
from messages.wire import WIRES
from partner.called_host import CalledHost
from partner.link import Nothing
from pos import requests
from pos.client import PosClient, Timers
from pos.dialogue import APPROVED, Dialogue, Final, Send
from pos.mac import signer
from pos.requests import Moment
from pos.speech import speech_of
from pos.store import TerminalIdentity
from vending.calendar import local_date, local_time
from vending.commission import CommissionTerms
from vending.secret import Secret
from vending.settlement import CloseDays, settlement_day

CLOSE_SECONDS_MAX = 30.0
LINK_SECONDS_MAX = 30.0


def utc_now() -> datetime:
    """The benchmark's clock."""
    return datetime.now(UTC)  # noqa: TID251 - a benchmark is a root


def settle(engine: Engine, plans: Sequence[NetworkPlan], directory: Path) -> dict[str, Any]:
    """Close the day of each network, and compare.

    Returns:
        By network: outcomes by code, and for each settlement day the lines on both sides and how many differ.
    """
    told = {plan.network: read_journal(Path(plan.journal)) for plan in plans}
    for plan in plans:
        cut_over(plan)
    _close(engine, [plan.network for plan in plans])
    return {
        plan.network: {
            "open": len(told[plan.network][0]),
            "codes": dict(Counter(each.code for each in told[plan.network][1])),
            "days": _compare(engine, plan.network, told[plan.network][1], directory),
        }
        for plan in plans
    }


def cut_over(plan: NetworkPlan) -> None:
    """Have the network's present day closed, by a terminal that speaks for it."""
    terminal_id = speaker(plan.keys)
    identity = TerminalIdentity(
        terminal_id=terminal_id,
        merchant_id=plan.merchant_id,
        nii=plan.nii,
        mac_scheme=plan.mac_scheme,
        mac_key=Secret(bytes.fromhex(plan.keys[terminal_id])),
    )
    now = utc_now()
    message = requests.cut_over(identity, Moment(stan="900001", transmitted_at=now), local_date(now))
    dialogue = Dialogue(message, signer(identity.mac_scheme, identity.mac_key), speech=speech_of(plan.dialect, utc_now))
    if plan.is_host:
        outcome = _ask_over_a_called_link(plan, dialogue)
    else:
        outcome = PosClient(plan.address, timers=Timers(), monotonic=monotonic, sleep=sleep).run(dialogue)
    assert isinstance(outcome, Final), outcome
    assert outcome.is_approved, outcome


def _ask_over_a_called_link(plan: NetworkPlan, dialogue: Dialogue) -> object:
    """Be the network's host once more, and ask over the first link that the switch opens."""
    wire = WIRES[plan.dialect]
    host = CalledHost(wire, plan.dialect, [plan.address], signs_on=True, wait_seconds=LINK_SECONDS_MAX)
    try:
        link = host.connect()
        step: object = dialogue.start()
        while isinstance(step, Send):
            link.throw(step.octets)
            frame = link.read_frame(Timers().answer_seconds)
            if isinstance(frame, Nothing):
                return frame
            step = dialogue.received(write_frame(wire.frame_style, frame))
        return step
    finally:
        host.close()


def speaker(terminal_ids: Iterable[str]) -> str:
    """Return the terminal that speaks for its network: the first."""
    return min(terminal_ids)


def _close(engine: Engine, networks: Sequence[str]) -> None:
    """Close what is over; days with a sale that the resolver has not ended yet are waited for."""
    deadline = monotonic() + CLOSE_SECONDS_MAX
    while True:
        close_days(engine, CloseDays(at=utc_now()))
        with engine.connect() as connection:
            closed = connection.scalars(
                text("SELECT DISTINCT acquirer_code FROM closed_day WHERE settlement_date = :day"),
                {"day": local_date(utc_now())},
            )
            left = set(networks) - set(closed)
        if not left or monotonic() > deadline:
            assert not left, f"days that cannot be closed: {left}"
            return
        sleep(0.5)


def _compare(engine: Engine, network: str, outcomes: Iterable[Outcome], directory: Path) -> dict[str, Any]:
    terms = read_terms(engine, network)
    by_day: defaultdict[date, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.code == APPROVED:
            by_day[settlement_day(outcome.day, utc_now())].append(outcome)
    results = {}
    for day, sold in sorted(by_day.items()):
        ours = write_settlement_file(engine, network, day, directory, utc_now())
        valid = max((each for each in terms if each.valid_from <= day), key=lambda each: each.valid_from)
        path = directory / f"{network}-{day:%Y%m%d}-theirs.csv"
        path.write_bytes(their_file(network, day, sold, valid))
        run = compare_file(engine, TheirFile(path=path), user="bench", at=utc_now())
        results[day.isoformat()] = {
            "ours": run.our_lines,
            "theirs": run.their_lines,
            "matched": run.matched,
            "differences": run.differences,
            "net_centavos": ours.sums.net_centavos,
        }
    return results


def their_file(network: str, day: date, sold: Sequence[Outcome], terms: CommissionTerms) -> bytes:
    """Return the network's own settlement file of a day, from what it was answered and not from our books."""
    lines = [header_line(network, day)]
    paid = commission = tax = 0
    for outcome in sorted(sold, key=lambda each: int(each.receipt)):
        sale, earned = outcome.sale, terms.of(outcome.sale.paid_centavos)
        net = sale.paid_centavos - earned.centavos - earned.tax_centavos
        moment = local_time(sale.transmitted_at).replace(tzinfo=None).isoformat()
        cells = ("S", outcome.receipt, sale.stan, outcome.rrn, sale.terminal_id, moment, sale.paid_centavos)
        lines.append(f"{','.join(map(str, (*cells, earned.centavos, earned.tax_centavos, net)))}\n".encode("ascii"))
        paid, commission, tax = paid + sale.paid_centavos, commission + earned.centavos, tax + earned.tax_centavos
    sums = SettlementSums(sales=len(sold), sales_centavos=paid, commission_centavos=commission, tax_centavos=tax)
    body = b"".join(lines)
    return body + trailer_line(sums, hashlib.sha256(body).hexdigest())


def differences(settled: Mapping[str, Any]) -> int:
    """Return how many lines differ, or are on one side only, in all files together; a sale without an outcome counts as one."""
    return sum(
        network["open"] + sum(day["differences"] for day in network["days"].values()) for network in settled.values()
    )
