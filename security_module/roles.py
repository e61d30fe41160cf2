"""Who may ask what. The role of a link comes from its client certificate, which is pinned in the sealed store."""

from enum import Enum

from messages.security_module import Command


class Role(Enum):
    """What a client is; the value is the organisational unit of its certificate."""

    SWITCH = "switch"
    """Sells: mints, changes keys with a sale, verifies tokens, MACs. At a till's module it is the till's own program, and accepts leases."""
    ENGINEER = "engineer"
    """Asks for tokens of engineers and key changes, and reads tokens."""
    MANUFACTURER = "manufacturer"
    """Puts decoder keys into meters; of test registers only."""
    AUDITOR = "auditor"
    """Reads counters, what was minted, and tokens, to compare them with what was sold."""
    OPERATOR = "operator"
    """Watches the module and answers for its clock."""
    CUSTODIAN = "custodian"
    """Guards the keys. Ceremonies are held at the module's own terminal; over the line it sees which keys are there, and revokes tills."""
    VENDOR_TERMINAL = "vendor-terminal"
    """A till that sells without a line, under a lease: asks a head-end's module for its lease, with a statement its own module signed."""

    def may(self, command: Command) -> bool:
        """Whether this role may ask *command*."""
        return command in _ALLOWED[self]


_ALLOWED: dict[Role, frozenset[Command]] = {
    Role.SWITCH: frozenset(
        {
            Command.MINT,
            Command.METER_KEY_CHANGE,
            Command.VERIFY_TOKEN,
            Command.GENERATE_MAC,
            Command.VERIFY_MAC,
            Command.MAKE_SESSION_KEY,
            Command.TAKE_SESSION_KEY,
            Command.RETIRE_KEY,
            Command.ACCEPT_LEASE,
            Command.CLOSE_LEASE,
            Command.READ_LEASE,
            Command.IDENTIFY,
        }
    ),
    Role.ENGINEER: frozenset({Command.ENGINEERING, Command.METER_KEY_CHANGE, Command.VERIFY_TOKEN, Command.IDENTIFY}),
    Role.MANUFACTURER: frozenset({Command.DECODER_KEY, Command.IDENTIFY}),
    Role.AUDITOR: frozenset(
        {
            Command.COUNTERS,
            Command.LIST_MINTS,
            Command.FIND_MINTS,
            Command.LIST_WORK,
            Command.VERIFY_TOKEN,
            Command.IDENTIFY,
        }
    ),
    Role.OPERATOR: frozenset({Command.COUNTERS, Command.ACCEPT_CLOCK, Command.IDENTIFY}),
    Role.CUSTODIAN: frozenset({Command.REVOKE_TERMINAL, Command.IDENTIFY}),
    Role.VENDOR_TERMINAL: frozenset({Command.ASK_LEASE, Command.IDENTIFY}),
}
