"""`eudora network run`: play a network against its port, with its own traffic and its own faults."""

import json
import random
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError, ConnectError
from twisted.internet.task import LoopingCall

from cli.partner_line import LinksMissing, PartnerLine, line_of
from cli.partner_setting import (
    KeySource,
    Known,
    key_source,
    line_options,
    now,
    read_known,
    read_meters,
    read_partner,
    read_settings,
    section_of,
    services_of,
    signer_of,
)
from partner.exchange import Chances, Concentrator
from partner.network import Partner
from partner.notices import NoticeTaker
from partner.run_tally import RunTally, percentile
from partner.traffic import Traffic, TrafficPlan

METERS_MAX = 300
ANSWER_MARGIN_SECONDS = 3.0
"""On top of the port's own deadline."""

SHOWN_EVERY_SECONDS = 2.0
_SHARE = click.FloatRange(0.0, 1.0)


@click.command("run")
@click.argument("network_id", metavar="NAME")
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), help="Default: of this installation.")
@click.option("--rate", type=click.FloatRange(0.1, 2000), default=10.0, show_default=True, help="Requests a second.")
@click.option("--seconds", type=click.FloatRange(0.5, 86_400), default=10.0, show_default=True, help="For how long.")
@click.option("--terminals", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most so many.")
@click.option("--links", type=click.IntRange(1, 100), default=2, show_default=True, help="That they share.")
@click.option("--errors", type=_SHARE, default=0.0, show_default=True, help="Share of wishes that must be refused.")
@click.option("--drop", type=_SHARE, default=0.0, show_default=True, help="Share of answers that the line loses.")
@click.option("--duplicates", type=_SHARE, default=0.0, show_default=True, help="Share of requests sent twice at once.")
@click.option(
    "--delay-ms", type=click.IntRange(0, 10_000), default=0, show_default=True, help="Longest delay on the way."
)
@click.option("--seed", type=int, help="Of all choices; default: by chance.")
@click.option("--keys", type=click.Path(dir_okay=False, path_type=Path), help="Key file of the terminals.")
@line_options
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object.")
def run_command(
    *,
    network_id: str,
    config: Path | None,
    rate: float,
    seconds: float,
    terminals: int,
    links: int,
    errors: float,
    drop: float,
    duplicates: float,
    delay_ms: int,
    seed: int | None,
    keys: Path | None,
    is_json: bool,
    **where: Any,
) -> None:
    """Play network NAME: its terminals sell over a few links, lose answers, repeat, and compare their totals with the books.

    With role we_connect it is the network's host: it waits at the network's own addresses for the links that the switch opens, answers
    sign-on and echo, and sells over them.

    Notices that the switch sends it are taken and answered, with --errors put off at first, with --drop answered only when they are
    repeated; one with a wrong MAC, or a repeat that says something else, is a fault.

    What is sold is sold: use a test installation. Exits 0 only if every answer was right, every repeat got the same octets, no PIN came
    twice, and the totals agree.
    """
    settings = read_settings(config)
    section, partner = section_of(settings, network_id), read_partner(settings, network_id)
    line = line_of(section, links, **where)
    known, source = read_known(network_id), key_source(section, keys)
    plan = _plan(partner, known, source, terminals=terminals, rate=rate, seconds=seconds)
    chances = Chances(errors=errors, drop=drop, duplicates=duplicates, delay_seconds=delay_ms / 1000)
    tally = RunTally()
    seed = secrets.randbits(32) if seed is None else seed
    _play(
        partner,
        plan,
        chances,
        tally,
        _taker(partner, source, chances, tally, seed),
        line=line,
        answer_seconds=section.answer_deadline_seconds + ANSWER_MARGIN_SECONDS,
        seed=seed,
        show=None if is_json else _show_live,
    )
    click.echo(json.dumps(tally.as_json(), ensure_ascii=False) if is_json else _as_text(tally))
    sys.exit(0 if not tally.faults else 1)


def _taker(partner: Partner, source: KeySource, chances: Chances, tally: RunTally, seed: int) -> NoticeTaker:
    return NoticeTaker(
        partner,
        signer_of(source),
        counts=tally.notices,
        fault=tally.fault,
        errors=chances.errors,
        drop=chances.drop,
        chance=random.Random(f"{seed} notices"),  # noqa: S311 - choices of a simulation, no secret
    )


def _plan(
    partner: Partner, known: Known, source: KeySource, *, terminals: int, rate: float, seconds: float
) -> TrafficPlan:
    chosen = list(known.active)[:terminals]
    if not chosen:
        raise click.ClickException(
            f"the ledger has no active terminal of {partner.id}; register one: eudora network terminal add {partner.id} ID"
        )
    chosen += [each for each in partner.speakers[:1] if each not in chosen]
    service = services_of(partner)[0]
    plan = TrafficPlan(
        terminals=[source.identity(each) for each in chosen],
        meters=read_meters(service, owes=False, count=METERS_MAX),
        owing=read_meters(service, owes=True, count=METERS_MAX),
        rate=rate,
        seconds=seconds,
        first_stan=secrets.randbelow(900_000),
    )
    if not plan.meters:
        raise click.ClickException("the ledger has no active meter without debts")
    return plan


def _play(
    partner: Partner,
    plan: TrafficPlan,
    chances: Chances,
    tally: RunTally,
    taker: NoticeTaker,
    *,
    line: PartnerLine,
    answer_seconds: float,
    seed: int,
    show: Callable[[RunTally, int], None] | None,
) -> None:
    """Run the traffic in this process's reactor until it has ended."""
    from twisted.internet import reactor  # noqa: TID251 - the root of this process

    turning: Any = reactor
    chance = random.Random(seed)  # noqa: S311 - choices of a simulation, no secret

    concentrator = Concentrator(
        partner,
        turning,
        chances,
        tally,
        chance,
        answer_seconds=answer_seconds,
        reconnect=lambda: line.reopen(),
        notices=taker,
    )
    line.adopt(turning, concentrator)
    traffic = Traffic(partner, plan, concentrator, turning, now=now, chances=chances, chance=chance)

    async def play() -> None:
        try:
            await line.open()
        except (ConnectError, CannotListenError, LinksMissing) as error:
            tally.fault("unreachable", f"{line.where}: {error}")
            return
        await traffic.run()

    def end(result: Any) -> None:
        if result is not None:
            tally.fault("fault_of_ours", f"{result.type.__name__} in the simulation itself: {result.value}")
        concentrator.is_ending = True
        line.close()
        for link in list(concentrator.links):
            link.close()
        turning.callLater(0, turning.stop)

    if show is not None:
        showing = LoopingCall(lambda: show(tally, concentrator.in_flight))
        showing.clock = turning
        turning.callWhenRunning(showing.start, SHOWN_EVERY_SECONDS, now=False)
    turning.callWhenRunning(lambda: Deferred.fromCoroutine(play()).addBoth(end))
    turning.run()


def _show_live(tally: RunTally, in_flight: int) -> None:
    worst = percentile(tally.latencies_ms, 99)
    click.echo(
        f"{tally.answers} answers, {in_flight} under way, p99 {_ms(worst)}, {tally.repeated} repeated, {tally.faults.total()} faults"
    )


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"


def _as_text(tally: RunTally) -> str:
    result = tally.as_json()
    lines = [
        f"{kind:<14} " + "  ".join(f"{code}: {n}" for code, n in codes.items())
        for kind, codes in result["codes"].items()
    ]
    lines += [
        f"notice {mti:<7} " + "  ".join(f"{outcome}: {n}" for outcome, n in outcomes.items())
        for mti, outcomes in result["notices"].items()
    ]
    lines.append(f"p50 {_ms(result['p50_ms'])}, p99 {_ms(result['p99_ms'])}; {result['pins']} PINs")
    lines.append(
        f"on purpose: {tally.lost} answers lost, {tally.doubled} sent twice, {tally.spoilt} spoilt; {tally.repeated} repeated, "
        f"{tally.links_lost} links lost"
    )
    lines += [f"WRONG {words}" for words in tally.told]
    lines.append("everything was right" if not tally.faults else f"NOT RIGHT: {dict(tally.faults)}")
    return "\n".join(lines)
