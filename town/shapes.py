"""What a town is made of: frozen objects, without ids of any database."""

from dataclasses import dataclass
from datetime import date

from vending.deductions import Deduction
from vending.money import BasisPoints, Centavos
from vending.service import AltitudeBand, Service, UserClass
from vending.tariff import TariffVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRegister:
    """A key register of the security module, as the ledger refers to it."""

    register_id: int
    encryption_algorithm: int
    base_year: int
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A customer's account with the utility."""

    account_number: str
    name: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemption:
    """Why an industrial user pays no contribution, and for how long (Ley 1430 of 2010 art. 2; Decreto 2860 of 2013).

    Attributes:
        document: the file in which the exemption was granted.
        economic_activity: the CIIU code that it was granted for.
        valid_from: first day.
        valid_to: last day.
    """

    document: str
    economic_activity: str
    valid_from: date
    valid_to: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """A prepayment meter with the account, the tariff and the key it belongs to, and what is owed on it.

    Attributes:
        meter_number: 11 digits, the last one Luhn's.
        pan: the 18 digits behind it.
        account_number: its holder's.
        key_register: where its key is.
        tariff_index: 0 to 99, part of its key.
        service: what it measures.
        user_class: whom it serves.
        stratum: 1 to 6; 0 for other than residential users.
        altitude: which subsistence consumption applies.
        is_blocked: whether nothing is sold to it.
        remainder_centavos: what the last sale left over.
        deductions: what is owed on it.
        exemption: of an exempt industrial user only.
    """

    meter_number: str
    pan: str
    account_number: str
    key_register: KeyRegister
    tariff_index: int
    service: Service
    user_class: UserClass
    stratum: int
    altitude: AltitudeBand
    is_blocked: bool
    remainder_centavos: Centavos
    deductions: tuple[Deduction, ...]
    exemption: Exemption | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """A point of sale; ``code`` is data element 41."""

    code: str
    merchant: str
    is_blocked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network that sells for the utility, and what it paid in beforehand."""

    code: str
    name: str
    deposit_centavos: Centavos
    commission_basis_points: BasisPoints
    terminals: tuple[Terminal, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Town:
    """Everything that is loaded. ``day`` is the local day that debts and tariffs are dated from.

    ``network`` are the town's datáfonos; ``other_networks`` sell beside them in other dialects.
    """

    seed: int
    day: date
    key_registers: tuple[KeyRegister, ...]
    holders: tuple[Holder, ...]
    meters: tuple[Meter, ...]
    network: Network
    other_networks: tuple[Network, ...]
    tariffs: tuple[TariffVersion, ...]
