"""The `eudora` command. Groups are loaded when they are asked for, so that a pure command starts at once."""

import importlib

import click

_COMMANDS = {
    "adjust": "cli.adjust:adjust",
    "approve": "cli.approve:approve",
    "bench": "cli.bench:bench",
    "certify": "cli.certify:certify",
    "config": "cli.config:config",
    "demo": "cli.demo:demo",
    "engineer": "cli.engineer:engineer",
    "iso": "cli.iso:iso",
    "ledger": "cli.ledger:ledger",
    "meter": "cli.meter:meter",
    "network": "cli.network:network",
    "pos": "cli.pos:pos",
    "quote": "cli.quote:quote_command",
    "security-module": "cli.security_module:security_module",
    "saf": "cli.saf:saf",
    "seed": "cli.seed:seed_command",
    "settle": "cli.settle:settle",
    "sts": "cli.sts:sts",
    "switch": "cli.switch:switch",
    "torture": "cli.torture:torture",
    "up": "cli.up:up",
}


class _LazyGroup(click.Group):
    """Imports a subcommand's module only when it is used or its help is shown."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module_name, attribute = _COMMANDS[cmd_name].split(":")
        command = getattr(importlib.import_module(module_name), attribute)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="eudora")
def main() -> None:
    """Prepaid vending of electricity, water and gas."""


if __name__ == "__main__":
    main()
