"""``eudora quote``: run a file of cases through the quote."""

import json
import sys
from pathlib import Path

import click

from vending.quote_cases import CaseError, run_cases


@click.command("quote")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--print", "with_outputs", is_flag=True, help="Also print the outputs of inputs that carry no output.")
def quote_command(file: Path, *, with_outputs: bool) -> None:
    """Check the quotes in FILE, a JSON list of cases ("-" reads standard input).

    Prints one JSON object: how many cases there were, how many passed, and of those that failed the id, what was expected and what
    came instead. Exits 0 only if all pass.
    """
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        report = run_cases(json.loads(text), with_outputs=with_outputs)
    except (ValueError, RecursionError) as error:
        kind = "" if isinstance(error, CaseError) else "not JSON: "
        raise click.ClickException(f"{file}: {kind}{error}") from error
    answer: dict[str, object] = {
        "cases": report.cases,
        "passed": report.cases - len(report.failed),
        "failed": list(report.failed),
    }
    if with_outputs:
        answer["outputs"] = list(report.outputs)
    click.echo(json.dumps(answer, ensure_ascii=False, indent=1))
    if report.failed:
        sys.exit(1)
