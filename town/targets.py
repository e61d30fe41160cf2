"""Who sells and who buys in a seeded town: what load, torture and tests take their terminals and meters from."""

from sqlalchemy import Engine, text

from town.generate import NETWORK_CODE

_TERMINALS = text("""
    SELECT t.code FROM terminal AS t JOIN acquirer AS a ON a.id = t.acquirer_id
    WHERE a.code = :network AND t.status = 'active' ORDER BY t.code LIMIT :most
""")

_METERS = text("SELECT meter_number FROM meter WHERE status = 'active' ORDER BY id")


def selling_terminals(engine: Engine, terminals_max: int, network: str = NETWORK_CODE) -> list[str]:
    """Return the ids of terminals of one network that may sell, so many at most, in order."""
    with engine.connect() as connection:
        return list(connection.scalars(_TERMINALS, {"network": network, "most": terminals_max}))


def buying_meters(engine: Engine) -> tuple[str, ...]:
    """Return the numbers of all meters that may buy."""
    with engine.connect() as connection:
        return tuple(connection.scalars(_METERS))
