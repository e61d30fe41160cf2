"""An address as commands take it."""

from typing import Any

import click


class Address(click.ParamType[tuple[str, int]]):
    """``host:port``; an IPv6 host in brackets."""

    name = "host:port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """Read it."""
        if isinstance(value, tuple):
            return value
        host, colon, port = str(value).rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not (colon and host and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            self.fail(f"{value!r} is not an address; type host:port", param, ctx)
        return host, int(port)
