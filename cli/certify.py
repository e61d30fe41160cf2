"""`eudora certify`: run the written certification cases against a network's port."""

import json
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import click

from cli.partner_setting import (
    KeySource,
    address_of,
    certification_meters,
    certification_terminals,
    host_tls_context,
    host_wait_seconds,
    key_source,
    line_options,
    listening_at,
    now,
    read_known,
    read_partner,
    read_settings,
    section_of,
    services_of,
    signer_of,
    tls_context,
)
from config.acquirer import AcquirerSection
from partner.called_host import CalledHost
from partner.case import Case
from partner.cases import CASES
from partner.examiner import CaseResult, Examiner
from partner.link import Link, TakeNotice, open_link
from partner.network import Partner
from partner.notices import NoticeTaker
from partner.report import Notices, Report, as_json, as_markdown, result_line
from partner.setting import Setting
from pos.texts import LANGUAGES, SPANISH

ANSWER_MARGIN_SECONDS = 3.0
"""On top of the port's own deadline."""


@click.command()
@click.argument("network_id", metavar="NAME", required=False)
@click.option("--list", "is_list", is_flag=True, help="Print the cases and why each is there; nothing is sent.")
@click.option("--case", "case_ids", multiple=True, help="Only these cases; may be given several times.")
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), help="Default: of this installation.")
@line_options
@click.option("--report", "report_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the page here.")
@click.option("--language", type=click.Choice(LANGUAGES), default=SPANISH, show_default=True, help="Of the report.")
@click.option("--terminal", help="Terminal id; default: the network's last active one.")
@click.option("--meter", help="Number of a meter without debts; default: one of the ledger's.")
@click.option("--keys", type=click.Path(dir_okay=False, path_type=Path), help="Key file of the terminals.")
@click.option(
    "--cut-over", is_flag=True, help="Also close the network's day: its sales of today then stand on tomorrow."
)
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object.")
def certify(
    *,
    network_id: str | None,
    is_list: bool,
    case_ids: tuple[str, ...],
    config: Path | None,
    address: tuple[str, int] | None,
    listen: tuple[tuple[str, int], ...],
    report_file: Path | None,
    language: str,
    terminal: str | None,
    meter: str | None,
    keys: Path | None,
    tls_ca: Path | None,
    tls_pem: Path | None,
    cut_over: bool,
    is_json: bool,
) -> None:
    """Run the written certification cases of network NAME against its live port, with real sales, and print a report.

    With role we_connect there is no port: the cases wait at the network's own addresses for the links that the switch opens.

    Notices that come meanwhile are taken beside the cases, and counted in the report; one with a wrong MAC, or a repeat that says something
    else, fails the certification.

    What is sold is sold: use a network of a test installation, or one that does not serve customers yet. Exits 0 only if every case
    that could be run passed.
    """
    cases = _chosen(case_ids)
    if is_list:
        _show_list(cases, language)
        return
    if network_id is None:
        raise click.UsageError("say which network, or --list")
    settings = read_settings(config)
    section, partner = section_of(settings, network_id), read_partner(settings, network_id)
    source, tls_files = key_source(section, keys), (tls_ca, tls_pem)
    notices = Notices()
    taker = NoticeTaker(partner, signer_of(source), counts=notices.counts, fault=notices.tell)
    with _line(section, partner, address, listen, tls_files, taker.take) as line:
        examiner = Examiner(
            line.partner,
            _setting(line.partner, source, terminal, meter, is_tls=section.tls is not None, may_cut_over=cut_over),
            line.connect,
            now=now,
            first_stan=secrets.randbelow(900_000),
            answer_seconds=section.answer_deadline_seconds + ANSWER_MARGIN_SECONDS,
        )
        results = _examine(examiner, cases, line.where, None if is_json else language)
    report = Report(
        partner=partner, address=line.where, at=now(), version=version("eudora"), results=results, notices=notices
    )
    _show(report, report_file, language, is_json=is_json)
    sys.exit(0 if report.is_certified else 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """How the cases get their links, and what is said of that."""

    partner: Partner
    connect: Callable[[], Link]
    where: str


@contextmanager
def _line(
    section: AcquirerSection,
    partner: Partner,
    address: tuple[str, int] | None,
    listen: tuple[tuple[str, int], ...],
    tls_files: tuple[Path | None, Path | None],
    take: TakeNotice,
) -> Iterator[_Line]:
    """Call the port, or be the host that the switch calls."""
    waits_at = listening_at(section, address, listen)
    if not waits_at:
        where, tls = address_of(section, address), tls_context(section, *tls_files)
        yield _Line(
            partner=partner,
            connect=lambda: open_link(where, partner.wire.frame_style, tls, take),
            where=f"{where[0]}:{where[1]}",
        )
        return
    assert section.links is not None
    words = ", ".join(f"{host}:{port}" for host, port in waits_at)
    try:
        host = CalledHost(
            partner.wire,
            partner.dialect,
            waits_at,
            signs_on=section.links.signs_on,
            wait_seconds=host_wait_seconds(section),
            tls=host_tls_context(section, *tls_files),
            take=take,
        )
    except OSError as error:
        raise click.ClickException(f"cannot wait at {words}: {error.strerror or error}") from error
    try:
        # Where the switch signs on, no terminal must.
        is_sign_on_required = partner.is_sign_on_required and not section.links.signs_on
        yield _Line(
            partner=replace(partner, is_sign_on_required=is_sign_on_required), connect=host.connect, where=words
        )
    finally:
        host.close()


def _setting(
    partner: Partner, source: KeySource, terminal: str | None, meter: str | None, *, is_tls: bool, may_cut_over: bool
) -> Setting:
    known = read_known(partner.id)
    service = services_of(partner)[0]
    meters, debt_centavos = certification_meters(service, meter)
    return Setting(
        terminals=certification_terminals(source, known, partner, terminal),
        meters=meters,
        service=service,
        debt_centavos=debt_centavos,
        float_centavos=known.float_centavos,
        is_tls=is_tls,
        may_cut_over=may_cut_over,
    )


def _examine(examiner: Examiner, cases: list[Case], where: str, shown_language: str | None) -> list[CaseResult]:
    def show(result: CaseResult) -> None:
        if shown_language is not None:
            click.echo(result_line(result, shown_language))

    try:
        return examiner.run(cases, show)
    except OSError as error:
        raise click.ClickException(f"{where} cannot be reached: {error.strerror or error}") from error


def _chosen(case_ids: tuple[str, ...]) -> list[Case]:
    unknown = set(case_ids) - {case.id for case in CASES}
    if unknown:
        raise click.UsageError(f"no case {', '.join(sorted(unknown))}; see --list")
    return [case for case in CASES if not case_ids or case.id in case_ids]


def _show_list(cases: list[Case], language: str) -> None:
    for case in cases:
        click.echo(f"{case.id}  {case.title.of(language)}. {case.why.of(language)}")


def _show(report: Report, file: Path | None, language: str, *, is_json: bool) -> None:
    page = as_markdown(report, language)
    if file is not None:
        file.write_text(page, encoding="utf-8")
    if is_json:
        click.echo(json.dumps(as_json(report, language), ensure_ascii=False))
    else:
        click.echo()
        click.echo(page)
