"""Who sells: networks and their terminals, what networks earn and pay in, and what is settled with them."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from ledger.schema.columns import centavos_column, id_column, metadata, time_column

acquirer = Table(
    "acquirer",
    metadata,
    id_column(),
    Column("code", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False, server_default=text("'active'")),
    Column("float_account_id", BigInteger, ForeignKey("account.id"), nullable=False),
    Column("commission_account_id", BigInteger, ForeignKey("account.id"), nullable=False),
    Column("settlement_date", Date, nullable=False, server_default=text("'2000-01-01'")),
    centavos_column("float_warning_centavos"),
    CheckConstraint("status IN ('active', 'stopped')", name="status"),
    CheckConstraint("float_warning_centavos >= 0", name="float_warning"),
    comment="A network that sells for the utility, with its float and its commission account. settlement_date: the day its sales fall "
    "on after a cut-over ahead of the clock; the later of it and the clock's local day counts. float_warning: below it somebody is "
    "warned; 0 = never.",
)

terminal = Table(
    "terminal",
    metadata,
    id_column(),
    Column("acquirer_id", BigInteger, ForeignKey("acquirer.id"), nullable=False),
    Column("code", Text, nullable=False),
    Column("merchant", Text, nullable=False, server_default=text("''")),
    Column("status", Text, nullable=False, server_default=text("'active'")),
    UniqueConstraint("acquirer_id", "code"),
    CheckConstraint("status IN ('active', 'blocked')", name="status"),
    comment="A point of sale (datáfono, till) of an acquirer; code is data element 41.",
)

commission_terms = Table(
    "commission_terms",
    metadata,
    Column("acquirer_id", BigInteger, ForeignKey("acquirer.id"), nullable=False),
    Column("valid_from", Date, nullable=False),
    centavos_column("from_paid_centavos"),
    Column("share_basis_points", Integer, nullable=False, server_default=text("0")),
    centavos_column("fixed_centavos"),
    Column("tax_basis_points", Integer, nullable=False, server_default=text("0")),
    Column("set_by", Text, nullable=False),
    time_column("set_at"),
    PrimaryKeyConstraint("acquirer_id", "valid_from", "from_paid_centavos"),
    CheckConstraint("from_paid_centavos >= 0", name="from_paid"),
    CheckConstraint("share_basis_points BETWEEN 0 AND 10000", name="share"),
    CheckConstraint("fixed_centavos >= 0", name="fixed"),
    CheckConstraint("tax_basis_points BETWEEN 0 AND 10000", name="tax"),
    comment="What a network earns with a sale, one row for each tier of a version: a version applies to sales of the settlement days from "
    "valid_from on, its tier by the amount of the sale. A version that has begun never changes.",
)

deposit = Table(
    "deposit",
    metadata,
    id_column(),
    Column("acquirer_id", BigInteger, ForeignKey("acquirer.id"), nullable=False),
    Column("state", Text, nullable=False, server_default=text("'registered'")),
    Column("amount_centavos", BigInteger, nullable=False),
    Column("bank_reference", Text, nullable=False),
    Column("corrects_deposit_id", BigInteger, ForeignKey("deposit.id")),
    Column("evidence", Text, nullable=False),
    Column("registered_by", Text, nullable=False),
    time_column("registered_at"),
    Column("decided_by", Text),
    time_column("decided_at", nullable=True),
    Column("entry_id", BigInteger),
    CheckConstraint("state IN ('registered', 'confirmed', 'rejected')", name="state"),
    CheckConstraint("amount_centavos > 0 OR (amount_centavos < 0 AND corrects_deposit_id IS NOT NULL)", name="amount"),
    CheckConstraint("btrim(bank_reference) <> ''", name="bank_reference"),
    CheckConstraint("btrim(evidence) <> ''", name="evidence"),
    CheckConstraint("decided_by IS NULL OR lower(btrim(decided_by)) <> lower(btrim(registered_by))", name="two_people"),
    CheckConstraint("(state = 'registered') = (decided_by IS NULL)", name="decided"),
    CheckConstraint("(entry_id IS NOT NULL) = (state = 'confirmed')", name="entry"),
    Index(
        "uq_deposit_bank_reference",
        "acquirer_id",
        "bank_reference",
        unique=True,
        postgresql_where=text("state <> 'rejected'"),
    ),
    comment="Money that a network paid in: registered by one person with evidence, confirmed or rejected by another. Below zero only to "
    "correct an earlier one. A bank's reference counts once for each network; a rejected one may be registered anew.",
)

settlement_file = Table(
    "settlement_file",
    metadata,
    Column("acquirer_code", Text, nullable=False),
    Column("settlement_date", Date, nullable=False),
    Column("layout_version", Integer, nullable=False),
    Column("sale_lines", BigInteger, nullable=False),
    Column("reversal_lines", BigInteger, nullable=False),
    Column("net_centavos", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    time_column("made_at"),
    time_column("delivered_at", nullable=True),
    PrimaryKeyConstraint("acquirer_code", "settlement_date", "layout_version"),
    CheckConstraint("length(sha256) = 64", name="sha256"),
    comment="The settlement file of a closed day as it was first made; made again it must have the same digest. delivered_at = when the "
    "switch put it into the network's directory.",
)

settlement_run = Table(
    "settlement_run",
    metadata,
    id_column(),
    Column("acquirer_code", Text, nullable=False),
    Column("settlement_date", Date, nullable=False),
    Column("file_name", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("our_lines", BigInteger, nullable=False),
    Column("their_lines", BigInteger, nullable=False),
    Column("matched", BigInteger, nullable=False),
    Column("run_by", Text, nullable=False),
    time_column("run_at"),
    UniqueConstraint("acquirer_code", "settlement_date", "sha256"),
    comment="A network's file of a settlement day, compared line by line with ours. The same file is compared once.",
)

settlement_difference = Table(
    "settlement_difference",
    metadata,
    id_column(),
    Column("run_id", BigInteger, ForeignKey("settlement_run.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("line_kind", Text, nullable=False),
    Column("their_line", BigInteger),
    Column("receipt", BigInteger),
    Column("terminal_code", Text, nullable=False),
    Column("stan", Text, nullable=False),
    Column("rrn", Text, nullable=False),
    Column("our_centavos", BigInteger),
    Column("their_centavos", BigInteger),
    Column("our_commission_centavos", BigInteger),
    Column("their_commission_centavos", BigInteger),
    Column("our_tax_centavos", BigInteger),
    Column("their_tax_centavos", BigInteger),
    Column("decision", Text),
    Column("decided_by", Text),
    time_column("decided_at", nullable=True),
    Column("why", Text),
    CheckConstraint("kind IN ('ours_only', 'theirs_only', 'amounts_differ', 'duplicate')", name="kind"),
    CheckConstraint("decision IN ('ours_stands', 'theirs_stands', 'adjusted', 'no_action')", name="decision"),
    CheckConstraint("(decision IS NULL) = (decided_by IS NULL) AND (decision IS NULL) = (why IS NULL)", name="decided"),
    Index(None, "run_id"),
    Index("ix_settlement_difference_open", "id", postgresql_where=text("decision IS NULL")),
    comment="A line that stands on one side only, twice on theirs, or with other amounts. A person decides; nothing is booked by it.",
)
