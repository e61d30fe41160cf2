"""Documents that are made from the code, or name things in it, are held to it."""

import re
from pathlib import Path

import click
from sqlalchemy import CheckConstraint

from cli.main import main
from config.document import render_markdown as configuration_keys
from ledger.schema import sale
from vending import standing
from vending.sale import SaleState, render_markdown

ROOT = Path(__file__).parents[1]


def test_the_life_of_a_sale_is_the_table_in_the_code() -> None:
    """docs/sale-life.md shows the table that the code goes by."""
    text = (ROOT / "docs/sale-life.md").read_text()
    assert render_markdown().strip() in text


def test_every_state_on_every_event_is_the_table_in_the_code() -> None:
    """docs/sale-life.md shows what each event makes of each standing, as the code has it."""
    assert standing.render_markdown() in (ROOT / "docs/sale-life.md").read_text()


def test_the_keys_of_the_configuration_are_those_of_the_sections() -> None:
    """docs/configuration.md ends with what `eudora config keys` prints; no key is without a meaning."""
    text = (ROOT / "docs/configuration.md").read_text()
    assert text.endswith(configuration_keys())
    assert "|  |" not in text


def test_the_ledger_stores_states_of_that_table() -> None:
    """Every state that a row of table `sale` may have is a state of the life of a sale."""
    checks = [str(each.sqltext) for each in sale.constraints if isinstance(each, CheckConstraint)]
    (states,) = [check for check in checks if "state IN" in check]
    stored = set(re.findall(r"'(\w+)'", states))
    assert stored == {"reserved", "posted", "void"}
    assert stored <= {state.value for state in SaleState}


def test_commands_that_documents_name_exist() -> None:
    """Every `eudora …` command in README and CONTRIBUTING is one, so that nobody types it in vain."""
    context = click.Context(main)
    groups = {name: main.get_command(context, name) for name in main.list_commands(context)}
    for document in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / document).read_text()
        for words in re.findall(r"eudora ([a-z][a-z-]*(?: [a-z][a-z-]*)?)", text):
            name, _, subcommand = words.partition(" ")
            if name in {"can", "up"} or f"`eudora {name}" not in text:
                continue
            assert name in groups, words
            group = groups[name]
            if subcommand and isinstance(group, click.Group):
                assert subcommand in group.commands, words


def test_files_that_documents_name_exist() -> None:
    """Every path in the documents that looks like one of ours is there."""
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    for document in documents:
        for path in re.findall(
            r"`((?:docs|vending|sts|messages|config|ledger|hsm_client|acquirers|switch|security_module|pos|meters|tests)/[\w/.-]+\.(?:py|md|toml))`",
            document.read_text(),
        ):
            assert (ROOT / path).exists(), f"{document.name}: {path}"
