"""The migration of the networks' money on a ledger that has networks already, there and back."""

from alembic import command
from sqlalchemy import text

from ledger.database import open_engine
from ledger.embedded import EmbeddedPostgres
from ledger.upgrade import alembic_config

_SEED = (
    "INSERT INTO account (id, code, kind) VALUES (100, 'bank', 'asset'), (1000, 'float:x', 'liability'), (1001, 'commission:x', 'liability')",
    "INSERT INTO acquirer (code, name, commission_basis_points, float_account_id, commission_account_id) VALUES ('x', 'x', 150, 1000, 1001)",
)


def test_what_a_network_earned_becomes_its_first_terms(postgres_server: EmbeddedPostgres) -> None:
    """For every day, without a tax; the account of the tax is there; going back keeps the share."""
    administration = open_engine(postgres_server.dsn_of("postgres"))
    with administration.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("CREATE DATABASE networks_migration"))
    engine = open_engine(postgres_server.dsn_of("networks_migration"))
    with engine.begin() as connection:
        config = alembic_config(connection)
        command.upgrade(config, "0003")
        for statement in _SEED:
            connection.execute(text(statement))
        command.upgrade(config, "0004")
        terms = connection.execute(text("SELECT * FROM commission_terms")).one()
        assert (terms.valid_from.year, terms.from_paid_centavos, terms.share_basis_points) == (2000, 0, 150)
        assert (terms.fixed_centavos, terms.tax_basis_points) == (0, 0)
        assert connection.execute(text("SELECT code FROM account WHERE id = 220")).scalar_one() == "commission-tax"
        command.downgrade(config, "0003")
        assert connection.execute(text("SELECT commission_basis_points FROM acquirer")).scalar_one() == 150
        assert connection.execute(text("SELECT count(*) FROM account")).scalar_one() == 3
    engine.dispose()
    with administration.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("DROP DATABASE networks_migration WITH (FORCE)"))
    administration.dispose()
