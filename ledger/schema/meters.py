"""Who buys: customers, meters, what they owe, and the tariffs."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from ledger.schema.columns import centavos_column, id_column, metadata

key_register = Table(
    "key_register",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("base_year", Integer, nullable=False),
    Column("description", Text, nullable=False, server_default=text("''")),
    Column("successor_id", BigInteger, ForeignKey("key_register.id")),
    CheckConstraint("base_year IN (1993, 2014, 2035)", name="base_year"),
    CheckConstraint("successor_id <> id", name="successor"),
    comment="A key register of the security module by its number there; base_year is where its token identifiers count from. "
    "successor = the register that its meters move to with their next sale.",
)

account_holder = Table(
    "account_holder",
    metadata,
    id_column(),
    Column("account_number", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("address", Text, nullable=False),
    comment="Who is behind one or more meters: the customer's account with the utility.",
)

meter = Table(
    "meter",
    metadata,
    id_column(),
    Column("meter_number", Text, nullable=False, unique=True),
    Column("pan", Text, nullable=False),
    Column("holder_id", BigInteger, ForeignKey("account_holder.id"), nullable=False),
    Column("register_id", BigInteger, ForeignKey("key_register.id"), nullable=False),
    Column("tariff_index", SmallInteger, nullable=False),
    Column("encryption_algorithm", SmallInteger, nullable=False),
    Column("service", SmallInteger, nullable=False),
    Column("user_class", Text, nullable=False),
    Column("stratum", SmallInteger, nullable=False),
    Column("altitude", Text, nullable=False),
    Column("status", Text, nullable=False, server_default=text("'active'")),
    Column("held_by", BigInteger),
    Column("last_tid", BigInteger, nullable=False, server_default=text("0")),
    Column("month", Integer, nullable=False, server_default=text("0")),
    Column("month_to_date_tenths", BigInteger, nullable=False, server_default=text("0")),
    centavos_column("remainder_centavos"),
    Column("parked_tokens", SmallInteger, nullable=False, server_default=text("0")),
    Column("next_tariff_index", SmallInteger),
    CheckConstraint("status IN ('active', 'blocked')", name="status"),
    CheckConstraint("parked_tokens >= 0", name="parked_tokens"),
    CheckConstraint("service IN (0, 1, 2)", name="service"),
    CheckConstraint("encryption_algorithm IN (7, 11)", name="encryption_algorithm"),
    CheckConstraint("month_to_date_tenths >= 0", name="month_to_date"),
    CheckConstraint("remainder_centavos >= 0", name="remainder"),
    CheckConstraint("next_tariff_index BETWEEN 0 AND 99", name="next_tariff_index"),
    Index(None, "holder_id"),
    comment="A meter, its key reference and its running state. held_by = the reserved sale that alone may move this row; "
    "month = yyyymm (local) of month_to_date; remainder = sum of its postings, sign turned; parked_tokens = its rows in parked_token "
    "that no sale has claimed. next_tariff_index = the one that its key gets with its next sale.",
    postgresql_with={"fillfactor": 70},
)

obligation = Table(
    "obligation",
    metadata,
    id_column(),
    Column("meter_id", BigInteger, ForeignKey("meter.id"), nullable=False),
    Column("code", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("due", Date, nullable=False),
    centavos_column("capital_centavos"),
    centavos_column("interest_centavos"),
    centavos_column("full_centavos"),
    centavos_column("instalment_due_centavos"),
    Column("share_basis_points", Integer, nullable=False, server_default=text("0")),
    Column("share_overdue_basis_points", Integer),
    Column("overdue", Boolean, nullable=False, server_default=text("false")),
    centavos_column("minimum_centavos"),
    Column("disputed", Boolean, nullable=False, server_default=text("false")),
    Column("status", Text, nullable=False, server_default=text("'open'")),
    UniqueConstraint("meter_id", "code"),
    CheckConstraint("kind IN ('charge', 'emergency', 'obligation')", name="kind"),
    CheckConstraint("status IN ('open', 'settled')", name="status"),
    CheckConstraint("capital_centavos >= 0", name="capital"),
    CheckConstraint("interest_centavos >= 0", name="interest"),
    CheckConstraint("full_centavos >= 0", name="full"),
    CheckConstraint("instalment_due_centavos >= 0", name="instalment_due"),
    CheckConstraint("minimum_centavos >= 0", name="minimum"),
    CheckConstraint("share_basis_points BETWEEN 0 AND 10000", name="share"),
    CheckConstraint("share_overdue_basis_points BETWEEN 0 AND 10000", name="share_overdue"),
    comment="What is owed on a meter: a third party's charge, emergency credit, or an obligation (old debt). capital (for charge and "
    "emergency: all that is owed) and interest = sums of their postings. full = a charge before its own subsidy.",
    postgresql_with={"fillfactor": 70},
)

tariff_version = Table(
    "tariff_version",
    metadata,
    id_column(),
    Column("service", SmallInteger, nullable=False),
    Column("user_class", Text, nullable=False),
    Column("stratum", SmallInteger, nullable=False),
    Column("altitude", Text, nullable=False),
    Column("valid_from", Date, nullable=False),
    Column("publication", Text, nullable=False),
    Column("blocks", JSONB, nullable=False),
    UniqueConstraint("service", "user_class", "stratum", "altitude", "valid_from"),
    CheckConstraint("service IN (0, 1, 2)", name="service"),
    comment='A published tariff; blocks = [{"up_to": tenths or null, "rate": e4, "full_rate": e4}, ...] ascending.',
)
