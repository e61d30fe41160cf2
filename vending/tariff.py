"""Published tariffs: blocks of a month, checked when they are loaded, and found by class of user and day.

What the customer pays is stored as published, never computed from a percentage: the percentage really applied moves each month.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

from vending.money import RateE4, Tenths
from vending.service import AltitudeBand, Service, UserClass


class TariffError(ValueError):
    """A tariff that cannot be applied; raised when it is loaded, so a sale never meets one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TariffBlock:
    """One block of a month's consumption.

    Attributes:
        up_to_tenths: the month's upper limit of the block; None: no limit.
        rate_e4: what the customer pays.
        full_rate_e4: the full cost (CU); above the rate it is a subsidy, below it a contribution.
    """

    up_to_tenths: Tenths | None
    rate_e4: RateE4
    full_rate_e4: RateE4


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """The blocks of one month, in rising order, the last without a limit.

    Raises:
        TariffError: no blocks, limits that do not rise from zero, a last block with a limit, one before it without, or a rate
            below 1.
    """

    blocks: tuple[TariffBlock, ...]

    def __post_init__(self) -> None:
        if not self.blocks:
            raise TariffError("a tariff needs at least one block")
        reached = 0
        last = len(self.blocks) - 1
        for index, block in enumerate(self.blocks):
            if block.rate_e4 < 1 or block.full_rate_e4 < 1:
                raise TariffError(f"block {index}: a rate is below 1")
            if index == last:
                if block.up_to_tenths is not None:
                    raise TariffError("the last block has a limit")
                continue
            if block.up_to_tenths is None:
                raise TariffError(f"block {index}: only the last block is without a limit")
            if block.up_to_tenths <= reached:
                raise TariffError(f"block {index}: the limits do not rise")
            reached = block.up_to_tenths


@dataclass(frozen=True, slots=True, kw_only=True)
class TariffVersion:
    """A tariff as published for one kind of user.

    Attributes:
        service: what is measured.
        user_class: whom it is for.
        stratum: 1 to 6 for residential users, 0 for all others.
        altitude: which subsistence consumption applies.
        valid_from: first local day it applies; it applies until a newer one does.
        publication: where it was published.
        tariff: the blocks.
    """

    service: Service
    user_class: UserClass
    stratum: int
    altitude: AltitudeBand
    valid_from: date
    publication: str
    tariff: Tariff


_Key = tuple[Service, UserClass, int, AltitudeBand]


@dataclass(frozen=True, slots=True)
class TariffBook:
    """All versions, indexed once when made.

    Raises:
        TariffError: two versions for the same users from the same day.
    """

    versions: Iterable[TariffVersion]
    _days: dict[_Key, list[date]] = field(init=False, repr=False, compare=False)
    _versions: dict[_Key, list[TariffVersion]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        versions = tuple(sorted(self.versions, key=lambda version: version.valid_from))
        days: dict[_Key, list[date]] = {}
        by_key: dict[_Key, list[TariffVersion]] = {}
        for version in versions:
            key = (version.service, version.user_class, version.stratum, version.altitude)
            known = days.setdefault(key, [])
            if known and known[-1] == version.valid_from:
                raise TariffError(f"two tariffs for {key} from {version.valid_from}")
            known.append(version.valid_from)
            by_key.setdefault(key, []).append(version)
        object.__setattr__(self, "versions", versions)
        object.__setattr__(self, "_days", days)
        object.__setattr__(self, "_versions", by_key)

    def find(
        self, service: Service, user_class: UserClass, stratum: int, altitude: AltitudeBand, on: date
    ) -> TariffVersion | None:
        """Return the newest version that applies *on* that local day, or None where none is published yet."""
        key = (service, user_class, stratum, altitude)
        days = self._days.get(key)
        if days is None:
            return None
        position = bisect_right(days, on)
        return self._versions[key][position - 1] if position else None
