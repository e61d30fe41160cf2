"""The books as they were first opened.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table, those that others point at first."""
    op.execute(sa.schema.CreateSequence(sa.Sequence("ledger_id", data_type=sa.BigInteger)))
    op.execute(sa.schema.CreateSequence(sa.Sequence("account_id", data_type=sa.BigInteger, start=1000)))
    _make_account()
    _make_account_holder()
    _make_entry()
    _make_journal()
    _make_key_register()
    _make_outbox()
    _make_posting()
    _make_sale()
    _make_tariff_version()
    _make_token()
    _make_acquirer()
    _make_meter()
    _make_obligation()
    _make_terminal()
    _keep_statistics_away_while_small()


def _keep_statistics_away_while_small() -> None:
    """Let the planner guess about a growing table until it is large.

    Told that it holds a handful of rows the planner reads it whole instead of using its key, and a prepared plan stays so while the
    table grows by thousands a second. A table without statistics is taken to have ten pages, and its key is used.
    """
    for table in ("journal", "sale", "token", "entry", "posting", "outbox"):
        op.execute(
            f"ALTER TABLE {table} SET (autovacuum_analyze_threshold = 20000, autovacuum_vacuum_threshold = 20000, "
            "autovacuum_vacuum_insert_threshold = 20000)"
        )


def downgrade() -> None:
    """Remove everything."""
    op.drop_table("terminal")
    op.drop_table("obligation")
    op.drop_table("meter")
    op.drop_table("acquirer")
    op.drop_table("token")
    op.drop_table("tariff_version")
    op.drop_table("sale")
    op.drop_table("posting")
    op.drop_table("outbox")
    op.drop_table("key_register")
    op.drop_table("journal")
    op.drop_table("entry")
    op.drop_table("account_holder")
    op.drop_table("account")
    op.execute(sa.schema.DropSequence(sa.Sequence("account_id")))
    op.execute(sa.schema.DropSequence(sa.Sequence("ledger_id")))


def _make_account() -> None:
    op.create_table(
        "account",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("acquirer_code", sa.Text(), nullable=True),
        sa.Column("balance_centavos", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("pending_centavos", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("credit_line_centavos", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint(
            "kind IN ('asset', 'liability', 'revenue', 'expense', 'equity')", name=op.f("ck_account_kind")
        ),
        sa.CheckConstraint("credit_line_centavos >= 0", name=op.f("ck_account_credit_line")),
        sa.CheckConstraint("pending_centavos >= 0", name=op.f("ck_account_pending")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
        sa.UniqueConstraint("code", name=op.f("uq_account_code")),
        comment="Chart of accounts. balance = sum of its postings (debit positive); pending = sum of the reserved sales of a float; a float covers a sale while credit_line - balance - pending >= paid.",
        postgresql_with={"fillfactor": 20},
    )


def _make_account_holder() -> None:
    op.create_table(
        "account_holder",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("account_number", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account_holder")),
        sa.UniqueConstraint("account_number", name=op.f("uq_account_holder_account_number")),
        comment="Who is behind one or more meters: the customer's account with the utility.",
    )


def _make_entry() -> None:
    op.create_table(
        "entry",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("sale_id", sa.BigInteger(), nullable=True),
        sa.Column("posted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("local_date", sa.Date(), nullable=False),
        sa.Column("memo", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.CheckConstraint(
            "kind IN ('sale', 'opening', 'deposit', 'billing', 'adjustment')", name=op.f("ck_entry_kind")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_entry")),
        comment="One event in the books; append-only. The entry of a sale has the id of the sale.",
    )


def _make_journal() -> None:
    op.create_table(
        "journal",
        sa.Column("transmitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stan", sa.Text(), nullable=False),
        sa.Column("terminal_code", sa.Text(), nullable=False),
        sa.Column("acquirer_code", sa.Text(), nullable=False),
        sa.Column("message_class", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("rrn", sa.Text(), nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=False),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("sale_id", sa.BigInteger(), nullable=True),
        sa.Column("reverses_sale_id", sa.BigInteger(), nullable=True),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint(
            "transmitted_at", "stan", "terminal_code", "acquirer_code", "message_class", name=op.f("pk_journal")
        ),
        comment="Every authenticated request once, by its key, with the answer that was made for it. sale_id = the sale it reserved; reverses_sale_id = the sale that a reversal asked to undo. code is null until the outcome is known. An empty digest marks a request that was reversed before it came.",
        postgresql_with={"fillfactor": 30},
    )


def _make_key_register() -> None:
    op.create_table(
        "key_register",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("base_year", sa.Integer(), nullable=False),
        sa.Column("description", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.CheckConstraint("base_year IN (1993, 2014, 2035)", name=op.f("ck_key_register_base_year")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_key_register")),
        comment="A key register of the security module by its number there; base_year is where its token identifiers count from.",
    )


def _make_outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("sale_id", sa.BigInteger(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        comment="What still has to leave because of a posted sale (meter delivery, SMS); written in the transaction that posts it.",
    )
    op.create_index("ix_outbox_open", "outbox", ["id"], unique=False, postgresql_where=sa.text("done_at IS NULL"))


def _make_posting() -> None:
    op.create_table(
        "posting",
        sa.Column("entry_id", sa.BigInteger(), nullable=False),
        sa.Column("line", sa.SmallInteger(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("amount_centavos", sa.BigInteger(), nullable=False),
        sa.Column("meter_id", sa.BigInteger(), nullable=True),
        sa.Column("obligation_id", sa.BigInteger(), nullable=True),
        sa.Column("part", sa.Text(), nullable=True),
        sa.CheckConstraint("part IN ('capital', 'interest')", name=op.f("ck_posting_part")),
        sa.CheckConstraint("amount_centavos <> 0", name=op.f("ck_posting_amount")),
        sa.PrimaryKeyConstraint("entry_id", "line", name=op.f("pk_posting")),
        comment="Append-only. Signed centavos, debit positive; the lines of an entry sum to zero. On a control account meter_id or obligation_id with part says whose line it is.",
    )
    op.create_index(
        op.f("ix_posting_obligation_id"),
        "posting",
        ["obligation_id"],
        unique=False,
        postgresql_where=sa.text("obligation_id IS NOT NULL"),
    )


def _make_sale() -> None:
    op.create_table(
        "sale",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("acquirer_code", sa.Text(), nullable=False),
        sa.Column("terminal_code", sa.Text(), nullable=False),
        sa.Column("transmitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stan", sa.Text(), nullable=False),
        sa.Column("message_class", sa.Text(), nullable=False),
        sa.Column("rrn", sa.Text(), nullable=False),
        sa.Column("meter_id", sa.BigInteger(), nullable=False),
        sa.Column("register_id", sa.BigInteger(), nullable=False),
        sa.Column("tariff_index", sa.SmallInteger(), nullable=False),
        sa.Column("encryption_algorithm", sa.SmallInteger(), nullable=False),
        sa.Column("float_account_id", sa.BigInteger(), nullable=False),
        sa.Column("commission_account_id", sa.BigInteger(), nullable=False),
        sa.Column("local_date", sa.Date(), nullable=False),
        sa.Column("reserved_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("paid_centavos", sa.BigInteger(), nullable=False),
        sa.Column("commission_centavos", sa.BigInteger(), nullable=False),
        sa.Column("carried_in_centavos", sa.BigInteger(), nullable=False),
        sa.Column("carried_out_centavos", sa.BigInteger(), nullable=False),
        sa.Column("units_tenths", sa.BigInteger(), nullable=False),
        sa.Column("charged_centavos", sa.BigInteger(), nullable=False),
        sa.Column("full_cost_centavos", sa.BigInteger(), nullable=False),
        sa.Column("subsidy_centavos", sa.BigInteger(), nullable=False),
        sa.Column("contribution_centavos", sa.BigInteger(), nullable=False),
        sa.Column("month_to_date_tenths", sa.BigInteger(), nullable=False),
        sa.Column("lines", postgresql.JSONB(), nullable=False),
        sa.CheckConstraint("kind IN ('recharge', 'payment')", name=op.f("ck_sale_kind")),
        sa.CheckConstraint("state IN ('reserved', 'posted', 'void')", name=op.f("ck_sale_state")),
        sa.CheckConstraint("paid_centavos > 0", name=op.f("ck_sale_paid")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sale")),
        comment="A recharge or payment from its reservation on, with the whole quote: numbers in columns, lines (deductions taken, blocks, tokens) as JSON, so that the ticket can be made again. reserved -> posted | void.",
    )
    op.create_index(op.f("ix_sale_meter_id_id"), "sale", ["meter_id", "id"], unique=False)
    op.create_index(
        "ix_sale_reserved", "sale", ["reserved_at"], unique=False, postgresql_where=sa.text("state = 'reserved'")
    )


def _make_tariff_version() -> None:
    op.create_table(
        "tariff_version",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("service", sa.SmallInteger(), nullable=False),
        sa.Column("user_class", sa.Text(), nullable=False),
        sa.Column("stratum", sa.SmallInteger(), nullable=False),
        sa.Column("altitude", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("publication", sa.Text(), nullable=False),
        sa.Column("blocks", postgresql.JSONB(), nullable=False),
        sa.CheckConstraint("service IN (0, 1, 2)", name=op.f("ck_tariff_version_service")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tariff_version")),
        sa.UniqueConstraint(
            "service",
            "user_class",
            "stratum",
            "altitude",
            "valid_from",
            name=op.f("uq_tariff_version_service_user_class_stratum_altitude_valid_from"),
        ),
        comment='A published tariff; blocks = [{"up_to": tenths or null, "rate": e4, "full_rate": e4}, ...] ascending.',
    )


def _make_token() -> None:
    op.create_table(
        "token",
        sa.Column("sale_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("meter_id", sa.BigInteger(), nullable=False),
        sa.Column("tid", sa.BigInteger(), nullable=False),
        sa.Column("units_tenths", sa.BigInteger(), nullable=False),
        sa.Column("digits", sa.Text(), nullable=True),
        sa.CheckConstraint("length(digits) = 20", name=op.f("ck_token_digits")),
        sa.PrimaryKeyConstraint("sale_id", "position", name=op.f("pk_token")),
        sa.UniqueConstraint("meter_id", "tid", name=op.f("uq_token_meter_id_tid")),
        comment="A credit token and its identifier. digits (a secret) are there exactly when the sale is posted; the identifier of a void sale stays used.",
        postgresql_with={"fillfactor": 60},
    )


def _make_acquirer() -> None:
    op.create_table(
        "acquirer",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default=sa.text("'active'"), nullable=False),
        sa.Column("commission_basis_points", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("float_account_id", sa.BigInteger(), nullable=False),
        sa.Column("commission_account_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("status IN ('active', 'stopped')", name=op.f("ck_acquirer_status")),
        sa.CheckConstraint("commission_basis_points BETWEEN 0 AND 10000", name=op.f("ck_acquirer_commission")),
        sa.ForeignKeyConstraint(
            ["commission_account_id"], ["account.id"], name=op.f("fk_acquirer_commission_account_id")
        ),
        sa.ForeignKeyConstraint(["float_account_id"], ["account.id"], name=op.f("fk_acquirer_float_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_acquirer")),
        sa.UniqueConstraint("code", name=op.f("uq_acquirer_code")),
        comment="A network that sells for the utility, with its float and its commission account.",
    )


def _make_meter() -> None:
    op.create_table(
        "meter",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("meter_number", sa.Text(), nullable=False),
        sa.Column("pan", sa.Text(), nullable=False),
        sa.Column("holder_id", sa.BigInteger(), nullable=False),
        sa.Column("register_id", sa.BigInteger(), nullable=False),
        sa.Column("tariff_index", sa.SmallInteger(), nullable=False),
        sa.Column("encryption_algorithm", sa.SmallInteger(), nullable=False),
        sa.Column("service", sa.SmallInteger(), nullable=False),
        sa.Column("user_class", sa.Text(), nullable=False),
        sa.Column("stratum", sa.SmallInteger(), nullable=False),
        sa.Column("altitude", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default=sa.text("'active'"), nullable=False),
        sa.Column("held_by", sa.BigInteger(), nullable=True),
        sa.Column("last_tid", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("month", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("month_to_date_tenths", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("remainder_centavos", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("status IN ('active', 'blocked')", name=op.f("ck_meter_status")),
        sa.CheckConstraint("encryption_algorithm IN (7, 11)", name=op.f("ck_meter_encryption_algorithm")),
        sa.CheckConstraint("month_to_date_tenths >= 0", name=op.f("ck_meter_month_to_date")),
        sa.CheckConstraint("remainder_centavos >= 0", name=op.f("ck_meter_remainder")),
        sa.CheckConstraint("service IN (0, 1, 2)", name=op.f("ck_meter_service")),
        sa.ForeignKeyConstraint(["holder_id"], ["account_holder.id"], name=op.f("fk_meter_holder_id")),
        sa.ForeignKeyConstraint(["register_id"], ["key_register.id"], name=op.f("fk_meter_register_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_meter")),
        sa.UniqueConstraint("meter_number", name=op.f("uq_meter_meter_number")),
        comment="A meter, its key reference and its running state. held_by = the reserved sale that alone may move this row; month = yyyymm (local) of month_to_date; remainder = sum of its postings, sign turned.",
        postgresql_with={"fillfactor": 70},
    )
    op.create_index(op.f("ix_meter_holder_id"), "meter", ["holder_id"], unique=False)


def _make_obligation() -> None:
    op.create_table(
        "obligation",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("meter_id", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("due", sa.Date(), nullable=False),
        sa.Column("capital_centavos", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("interest_centavos", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("full_centavos", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("instalment_due_centavos", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("share_basis_points", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("share_overdue_basis_points", sa.Integer(), nullable=True),
        sa.Column("overdue", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("minimum_centavos", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("disputed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("status", sa.Text(), server_default=sa.text("'open'"), nullable=False),
        sa.CheckConstraint("kind IN ('charge', 'emergency', 'obligation')", name=op.f("ck_obligation_kind")),
        sa.CheckConstraint("status IN ('open', 'settled')", name=op.f("ck_obligation_status")),
        sa.CheckConstraint("capital_centavos >= 0", name=op.f("ck_obligation_capital")),
        sa.CheckConstraint("full_centavos >= 0", name=op.f("ck_obligation_full")),
        sa.CheckConstraint("instalment_due_centavos >= 0", name=op.f("ck_obligation_instalment_due")),
        sa.CheckConstraint("interest_centavos >= 0", name=op.f("ck_obligation_interest")),
        sa.CheckConstraint("minimum_centavos >= 0", name=op.f("ck_obligation_minimum")),
        sa.CheckConstraint("share_basis_points BETWEEN 0 AND 10000", name=op.f("ck_obligation_share")),
        sa.CheckConstraint("share_overdue_basis_points BETWEEN 0 AND 10000", name=op.f("ck_obligation_share_overdue")),
        sa.ForeignKeyConstraint(["meter_id"], ["meter.id"], name=op.f("fk_obligation_meter_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_obligation")),
        sa.UniqueConstraint("meter_id", "code", name=op.f("uq_obligation_meter_id_code")),
        comment="What is owed on a meter: a third party's charge, emergency credit, or an obligation (old debt). capital (for charge and emergency: all that is owed) and interest = sums of their postings. full = a charge before its own subsidy.",
        postgresql_with={"fillfactor": 70},
    )


def _make_terminal() -> None:
    op.create_table(
        "terminal",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("acquirer_id", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("merchant", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("status", sa.Text(), server_default=sa.text("'active'"), nullable=False),
        sa.CheckConstraint("status IN ('active', 'blocked')", name=op.f("ck_terminal_status")),
        sa.ForeignKeyConstraint(["acquirer_id"], ["acquirer.id"], name=op.f("fk_terminal_acquirer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_terminal")),
        sa.UniqueConstraint("acquirer_id", "code", name=op.f("uq_terminal_acquirer_id_code")),
        comment="A point of sale (datáfono, till) of an acquirer; code is data element 41.",
    )
