"""The published tariffs, from their table to the objects that the quote takes."""

from sqlalchemy import Connection, Engine

from ledger.database import transact
from ledger.schema import tariff_version
from vending.money import RateE4, Tenths
from vending.service import AltitudeBand, Service, UserClass
from vending.tariff import Tariff, TariffBlock, TariffBook, TariffVersion


def load_tariffs(engine: Engine) -> TariffBook:
    """Return every published tariff version.

    Raises:
        vending.tariff.TariffError: a version in the table cannot be applied.
        LedgerUnavailable: the database cannot be reached.
    """

    def read(connection: Connection, _attempt: int) -> list[TariffVersion]:
        return [
            TariffVersion(
                service=Service(row.service),
                user_class=UserClass(row.user_class),
                stratum=row.stratum,
                altitude=AltitudeBand(row.altitude),
                valid_from=row.valid_from,
                publication=row.publication,
                tariff=Tariff(blocks=tuple(_block(block) for block in row.blocks)),
            )
            for row in connection.execute(tariff_version.select().order_by(tariff_version.c.id))
        ]

    return TariffBook(transact(engine, read))


def blocks_as_json(tariff: Tariff) -> list[dict[str, int | None]]:
    """Return what the column ``tariff_version.blocks`` holds for *tariff*."""
    return [
        {"up_to": block.up_to_tenths, "rate": block.rate_e4, "full_rate": block.full_rate_e4} for block in tariff.blocks
    ]


def _block(block: dict[str, int | None]) -> TariffBlock:
    up_to, rate, full_rate = block["up_to"], block["rate"], block["full_rate"]
    assert rate is not None
    assert full_rate is not None
    return TariffBlock(
        up_to_tenths=None if up_to is None else Tenths(up_to), rate_e4=RateE4(rate), full_rate_e4=RateE4(full_rate)
    )
