"""`eudora config`: say what is wrong with a configuration, and have the running switch take a changed one."""

import json
from collections.abc import Sequence
from pathlib import Path

import click

from cli import context
from cli.running_switch import apply_configuration
from config.acquirer import AcquirerSection
from config.check import examine
from config.document import render_markdown
from config.errors import Complaint, ConfigError
from switch.network import dialect_complaints
from switch.networks import CannotApply, tls_contexts

_RUN_FILE = click.option(
    "--run-file", type=click.Path(path_type=Path), help="Of the switch.  [default: the one of this installation]"
)


@click.group()
def config() -> None:
    """The configuration file."""


@config.command("check")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check_command(file: Path | None, *, as_json: bool) -> None:
    """Say what is wrong with FILE (default: the file of this installation), key by key; exit code 1 if anything is."""
    try:
        examined = examine(file)
    except ConfigError as error:
        _show(error.source, error.complaints, (), (), as_json=as_json)
        raise SystemExit(1) from error
    complaints = list(examined.complaints)
    sections = examined.settings.acquirers
    for section in sections.values():
        complaints += dialect_complaints(section)
    if not any(".tls." in complaint.key for complaint in complaints):
        try:
            tls_contexts(sections)
        except CannotApply as error:
            complaints += error.complaints
    _show(examined.source, complaints, examined.warnings, tuple(sections.values()), as_json=as_json)
    if complaints:
        raise SystemExit(1)


@config.command("apply")
@_RUN_FILE
def apply_command(run_file: Path | None) -> None:
    """Have the running switch read its configuration again, without dropping a link or a sale.

    The same as SIGHUP, and says what became of it in every process. Exit code 1: in one of them nothing was changed. Exit code 2: keys
    that need a restart keep the value they had; everything else is applied.
    """
    status = 0
    for process, outcome in apply_configuration(run_file or context.run_file("switch")):
        who = "" if process["number"] is None else f"process {process['number']}: "
        if not outcome["is_applied"]:
            status = 1
            click.echo(f"{who}nothing was changed:", err=True)
            for line in outcome["complaints"]:
                click.echo(f"  {line}", err=True)
            continue
        click.echo(f"{who}applied")
        for line in outcome["needs_restart"]:
            click.echo(f"  {line}")
            status = status or 2
    if status:
        raise SystemExit(status)


@config.command("keys")
def keys_command() -> None:
    """Print every key with its default, what is allowed and what it means: the tables of docs/configuration.md."""
    click.echo(render_markdown(), nl=False)


def _show(
    source: str,
    complaints: Sequence[Complaint],
    warnings: Sequence[Complaint],
    sections: Sequence[AcquirerSection],
    *,
    as_json: bool,
) -> None:
    if as_json:
        report = {
            "source": source,
            "is_usable": not complaints,
            "complaints": [{"key": each.key, "text": each.text} for each in complaints],
            "warnings": [{"key": each.key, "text": each.text} for each in warnings],
            "networks": [section.model_dump(mode="json") for section in sections],
        }
        click.echo(json.dumps(report, indent=2, ensure_ascii=False))
        return
    for complaint in complaints:
        click.echo(f"error    {complaint}")
    for warning in warnings:
        click.echo(f"warning  {warning}")
    click.echo(f"{source}: {'cannot be used' if complaints else 'can be used'}")
    if not complaints:
        for section in sections:
            click.echo(summary(section))


def summary(section: AcquirerSection) -> str:
    """Return one network in a line."""
    sells = section.sells
    hours = ", ".join(map(str, sells.hours)) or "all day"
    rate = f"{section.requests_per_second_max}/s" if section.requests_per_second_max else "any rate"
    encryption = "plain" if section.tls is None else "TLS" if section.tls.client_ca_file is None else "mutual TLS"
    peers = ", ".join(map(str, section.allowed_peers)) or "everybody"
    callers = "" if section.role == "we_connect" else f", from {peers}"
    listens = "" if section.role == "we_connect" else f"on {section.listen_host}:{section.listen_port} "
    links = (
        ""
        if section.links is None
        else f"over {section.links.count} links to {', '.join(map(str, section.links.hosts))} "
    )
    return (
        f"  {section.id}: {section.dialect} {listens}{links}({encryption}{callers}), {section.state},"
        f" {section.mac.scheme} register {section.mac.register_id}; sells {'/'.join(sells.services)} by {'/'.join(sells.kinds)},"
        f" {hours}, {rate}"
    )
