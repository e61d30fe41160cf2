"""What a meter measures and whom it serves."""

from enum import Enum


class Service(Enum):
    """A public service that is sold by recharge; the value is the STS credit sub-class of its token."""

    ENERGY = 0
    WATER = 1
    GAS = 2


class UserClass(Enum):
    """The class of user that a tariff is published for (Ley 142 of 1994; Ley 1430 of 2010 for the exemption)."""

    RESIDENTIAL = "residential"
    COMMERCIAL = "commercial"
    OFFICIAL = "official"
    INDUSTRIAL = "industrial"
    INDUSTRIAL_EXEMPT = "industrial-exempt"


class AltitudeBand(Enum):
    """Which subsistence consumption applies: 173 kWh-month below 1 000 m, 130 at or above (UPME 0355 of 2004)."""

    LOW = "low"
    HIGH = "high"
