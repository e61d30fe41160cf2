"""Who sells without a line: the vendor terminals that a head-end's module knows, and whose till a till's module is.

Both are sealed in the store beside the keys and are set by two people at a ceremony. The lease between them is `security_module.lease`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

TERMINAL_ID_CHARACTERS_MAX = 16
ZONE_CHARACTERS_MAX = 32
LEASE_HOURS_MAX = 31 * 24
"""Who does not come by for a month is asked why, before he sells on."""
LEASE_REGISTERS_MAX = 16
SALES_MAX = 100_000
"""Sales of one lease: what a till keeps of each meter and day stays small."""
AMOUNT_MAX = 10**15
"""Centavos or tenths of a unit; a bound for typing errors only."""
VENDORS_MAX = 10_000
PUBLIC_KEY_OCTETS = 32

SupplyGroup = tuple[int, int]
"""Supply group code and key revision number: what names a vending key in every module, whatever its register's number there."""


def is_terminal_id(text: str) -> bool:
    """Whether *text* can name a terminal: 1 to 16 letters, digits, ``-``, ``_`` or ``.`` of ASCII."""
    return (
        1 <= len(text) <= TERMINAL_ID_CHARACTERS_MAX
        and text.isascii()
        and all(each.isalnum() or each in "-_." for each in text)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseLimits:
    """What a till may mint under one lease.

    Attributes:
        credit_centavos: money in all; this is what is lost with the till.
        units_tenths: units in all.
        sales_max: sales.
        sale_max_centavos: money in one sale.
        meter_day_max_centavos: money for one meter in one local day, over all leases of that day.
    """

    credit_centavos: int
    units_tenths: int
    sales_max: int
    sale_max_centavos: int
    meter_day_max_centavos: int

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 1 <= value <= (SALES_MAX if name == "sales_max" else AMOUNT_MAX):
                raise ValueError(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorTerminal:
    """A till that may have leases, and how large they are.

    Attributes:
        terminal_id: see `is_terminal_id`; once revoked it is never used again.
        public_key: Ed25519 key of its module, 32 octets in hexadecimal: signs its closing statements.
        supply_groups: the vending keys it may mint under, ascending.
        limits: of each lease.
        lease_hours: how long a lease is good.
        zone: an opaque word about where it sells; may be empty.
    """

    terminal_id: str
    public_key: str
    supply_groups: tuple[SupplyGroup, ...]
    limits: LeaseLimits
    lease_hours: int
    zone: str = ""

    def __post_init__(self) -> None:
        if not is_terminal_id(self.terminal_id):
            raise ValueError("terminal id")
        if len(bytes.fromhex(self.public_key)) != PUBLIC_KEY_OCTETS:
            raise ValueError("public key")
        require_supply_groups(self.supply_groups)
        if not 1 <= self.lease_hours <= LEASE_HOURS_MAX:
            raise ValueError("lease hours")
        require_zone(self.zone)

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it; nothing in it is secret."""
        return {**asdict(self), "supply_groups": [list(each) for each in self.supply_groups]}


def read_vendor(document: Mapping[str, Any]) -> VendorTerminal:
    """Read what `VendorTerminal.document` wrote; ValueError, KeyError or TypeError if it is anything else."""
    groups = tuple((sgc, krn) for sgc, krn in document["supply_groups"])
    return VendorTerminal(**{**document, "supply_groups": groups, "limits": LeaseLimits(**document["limits"])})


def require_supply_groups(groups: tuple[SupplyGroup, ...]) -> None:
    """Raise ValueError unless they are 1 to 16, ascending, each once, of six digits and revision 1 to 9."""
    if not 1 <= len(groups) <= LEASE_REGISTERS_MAX or list(groups) != sorted(set(groups)):
        raise ValueError("supply groups")
    if any(not 0 <= sgc <= 999_999 or not 1 <= krn <= 9 for sgc, krn in groups):
        raise ValueError("supply groups")


def require_zone(zone: str) -> None:
    """Raise ValueError unless *zone* is at most 32 printable characters of ASCII."""
    if len(zone) > ZONE_CHARACTERS_MAX or not zone.isascii() or (zone and not zone.isprintable()):
        raise ValueError("zone")


@dataclass(frozen=True, slots=True, kw_only=True)
class Till:
    """Makes a module one of a till: it mints under leases of one head-end only.

    Attributes:
        terminal_id: who it is for the head-end.
        head_end_key: Ed25519 key of the head-end's module, 32 octets in hexadecimal, out of its ``audit-public.pem``.
    """

    terminal_id: str
    head_end_key: str

    def __post_init__(self) -> None:
        if not is_terminal_id(self.terminal_id):
            raise ValueError("terminal id")
        if len(bytes.fromhex(self.head_end_key)) != PUBLIC_KEY_OCTETS:
            raise ValueError("public key")
