"""Who may ask what. The role of a link comes from its client certificate, which is pinned in the sealed store."""

from enum import Enum

from messages.security_module import Command


class Role(Enum):
    """What a client is; the value is the organisational unit of its certificate."""

    SWITCH = "switch"
    """Sells: mints, verifies tokens, MACs."""
    MANUFACTURER = "manufacturer"
    """Puts decoder keys into meters; of test registers only."""
    AUDITOR = "auditor"
    """Reads counters and what was minted, to compare them with what was sold."""
    OPERATOR = "operator"
    """Watches the module and answers for its clock."""

    def may(self, command: Command) -> bool:
        """Whether this role may ask *command*."""
        return command in _ALLOWED[self]


_ALLOWED: dict[Role, frozenset[Command]] = {
    Role.SWITCH: frozenset(
        {Command.MINT, Command.VERIFY_TOKEN, Command.GENERATE_MAC, Command.VERIFY_MAC, Command.IDENTIFY}
    ),
    Role.MANUFACTURER: frozenset({Command.DECODER_KEY, Command.IDENTIFY}),
    Role.AUDITOR: frozenset({Command.COUNTERS, Command.LIST_MINTS, Command.FIND_MINTS, Command.IDENTIFY}),
    Role.OPERATOR: frozenset({Command.COUNTERS, Command.ACCEPT_CLOCK, Command.IDENTIFY}),
}
