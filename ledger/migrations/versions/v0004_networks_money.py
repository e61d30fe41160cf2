"""The money of networks: terms of their commission with tax, deposits that two people sign, settlement files and what differs from theirs.

Revision ID: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ACQUIRER_COMMENT = "A network that sells for the utility, with its float and its commission account. settlement_date: the day its sales fall on after a cut-over ahead of the clock; the later of it and the clock's local day counts."
WARNING_COMMENT = " float_warning: below it somebody is warned; 0 = never."


def upgrade() -> None:
    """Add the tables; what a network earned until now becomes its first terms."""
    _make_commission_terms()
    _make_deposit()
    _make_settlement_file()
    _make_settlement_run()
    _make_settlement_difference()
    op.add_column("sale", _centavos("commission_tax_centavos"))
    op.add_column("day_total", _centavos("commission_tax_centavos"))
    op.create_index(
        "ix_entry_rare",
        "entry",
        ["local_date"],
        unique=False,
        postgresql_where=sa.text("kind IN ('deposit', 'billing', 'adjustment')"),
    )
    op.execute(
        "INSERT INTO account (id, code, kind) SELECT 220, 'commission-tax', 'asset' WHERE EXISTS (SELECT 1 FROM account)"
    )
    op.execute(
        "INSERT INTO commission_terms (acquirer_id, valid_from, share_basis_points, set_by, set_at) "
        "SELECT id, '2000-01-01', commission_basis_points, 'migration', now() FROM acquirer"
    )
    op.drop_constraint(op.f("ck_acquirer_commission"), "acquirer", type_="check")
    op.drop_column("acquirer", "commission_basis_points")
    op.add_column("acquirer", _centavos("float_warning_centavos"))
    op.create_check_constraint(op.f("ck_acquirer_float_warning"), "acquirer", "float_warning_centavos >= 0")
    op.create_table_comment("acquirer", ACQUIRER_COMMENT + WARNING_COMMENT, existing_comment=ACQUIRER_COMMENT)


def downgrade() -> None:
    """Remove them; of the terms of a network only the share of its newest first tier is kept."""
    op.create_table_comment("acquirer", ACQUIRER_COMMENT, existing_comment=ACQUIRER_COMMENT + WARNING_COMMENT)
    op.drop_constraint(op.f("ck_acquirer_float_warning"), "acquirer", type_="check")
    op.drop_column("acquirer", "float_warning_centavos")
    op.add_column(
        "acquirer", sa.Column("commission_basis_points", sa.Integer(), server_default=sa.text("0"), nullable=False)
    )
    op.create_check_constraint(
        op.f("ck_acquirer_commission"), "acquirer", "commission_basis_points BETWEEN 0 AND 10000"
    )
    op.execute(
        "UPDATE acquirer SET commission_basis_points = (SELECT share_basis_points FROM commission_terms "
        "WHERE acquirer_id = acquirer.id AND from_paid_centavos = 0 ORDER BY valid_from DESC LIMIT 1)"
    )
    op.execute("DELETE FROM account WHERE id = 220 AND NOT EXISTS (SELECT 1 FROM posting WHERE account_id = 220)")
    op.drop_index("ix_entry_rare", table_name="entry")
    op.drop_column("day_total", "commission_tax_centavos")
    op.drop_column("sale", "commission_tax_centavos")
    op.drop_table("settlement_difference")
    op.drop_table("settlement_run")
    op.drop_table("settlement_file")
    op.drop_table("deposit")
    op.drop_table("commission_terms")


def _centavos(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False)


def _make_commission_terms() -> None:
    op.create_table(
        "commission_terms",
        sa.Column("acquirer_id", sa.BigInteger(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        _centavos("from_paid_centavos"),
        sa.Column("share_basis_points", sa.Integer(), server_default=sa.text("0"), nullable=False),
        _centavos("fixed_centavos"),
        sa.Column("tax_basis_points", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("acquirer_id", "valid_from", "from_paid_centavos", name=op.f("pk_commission_terms")),
        sa.ForeignKeyConstraint(["acquirer_id"], ["acquirer.id"], name=op.f("fk_commission_terms_acquirer_id")),
        sa.CheckConstraint("from_paid_centavos >= 0", name=op.f("ck_commission_terms_from_paid")),
        sa.CheckConstraint("share_basis_points BETWEEN 0 AND 10000", name=op.f("ck_commission_terms_share")),
        sa.CheckConstraint("fixed_centavos >= 0", name=op.f("ck_commission_terms_fixed")),
        sa.CheckConstraint("tax_basis_points BETWEEN 0 AND 10000", name=op.f("ck_commission_terms_tax")),
        comment="What a network earns with a sale, one row for each tier of a version: a version applies to sales of the settlement days from valid_from on, its tier by the amount of the sale. A version that has begun never changes.",
    )


def _make_deposit() -> None:
    op.create_table(
        "deposit",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("acquirer_id", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'registered'"), nullable=False),
        sa.Column("amount_centavos", sa.BigInteger(), nullable=False),
        sa.Column("bank_reference", sa.Text(), nullable=False),
        sa.Column("corrects_deposit_id", sa.BigInteger(), nullable=True),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("registered_by", sa.Text(), nullable=False),
        sa.Column("registered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("entry_id", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deposit")),
        sa.ForeignKeyConstraint(["acquirer_id"], ["acquirer.id"], name=op.f("fk_deposit_acquirer_id")),
        sa.ForeignKeyConstraint(["corrects_deposit_id"], ["deposit.id"], name=op.f("fk_deposit_corrects_deposit_id")),
        sa.CheckConstraint("state IN ('registered', 'confirmed', 'rejected')", name=op.f("ck_deposit_state")),
        sa.CheckConstraint(
            "amount_centavos > 0 OR (amount_centavos < 0 AND corrects_deposit_id IS NOT NULL)",
            name=op.f("ck_deposit_amount"),
        ),
        sa.CheckConstraint("btrim(bank_reference) <> ''", name=op.f("ck_deposit_bank_reference")),
        sa.CheckConstraint("btrim(evidence) <> ''", name=op.f("ck_deposit_evidence")),
        sa.CheckConstraint(
            "decided_by IS NULL OR lower(btrim(decided_by)) <> lower(btrim(registered_by))",
            name=op.f("ck_deposit_two_people"),
        ),
        sa.CheckConstraint("(state = 'registered') = (decided_by IS NULL)", name=op.f("ck_deposit_decided")),
        sa.CheckConstraint("(entry_id IS NOT NULL) = (state = 'confirmed')", name=op.f("ck_deposit_entry")),
        comment="Money that a network paid in: registered by one person with evidence, confirmed or rejected by another. Below zero only to correct an earlier one. A bank's reference counts once for each network; a rejected one may be registered anew.",
    )
    op.create_index(
        "uq_deposit_bank_reference",
        "deposit",
        ["acquirer_id", "bank_reference"],
        unique=True,
        postgresql_where=sa.text("state <> 'rejected'"),
    )


def _make_settlement_file() -> None:
    op.create_table(
        "settlement_file",
        sa.Column("acquirer_code", sa.Text(), nullable=False),
        sa.Column("settlement_date", sa.Date(), nullable=False),
        sa.Column("layout_version", sa.Integer(), nullable=False),
        sa.Column("sale_lines", sa.BigInteger(), nullable=False),
        sa.Column("reversal_lines", sa.BigInteger(), nullable=False),
        sa.Column("net_centavos", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("acquirer_code", "settlement_date", "layout_version", name=op.f("pk_settlement_file")),
        sa.CheckConstraint("length(sha256) = 64", name=op.f("ck_settlement_file_sha256")),
        comment="The settlement file of a closed day as it was first made; made again it must have the same digest. delivered_at = when the switch put it into the network's directory.",
    )


def _make_settlement_run() -> None:
    op.create_table(
        "settlement_run",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("acquirer_code", sa.Text(), nullable=False),
        sa.Column("settlement_date", sa.Date(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("our_lines", sa.BigInteger(), nullable=False),
        sa.Column("their_lines", sa.BigInteger(), nullable=False),
        sa.Column("matched", sa.BigInteger(), nullable=False),
        sa.Column("run_by", sa.Text(), nullable=False),
        sa.Column("run_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_settlement_run")),
        sa.UniqueConstraint(
            "acquirer_code",
            "settlement_date",
            "sha256",
            name=op.f("uq_settlement_run_acquirer_code_settlement_date_sha256"),
        ),
        comment="A network's file of a settlement day, compared line by line with ours. The same file is compared once.",
    )


def _make_settlement_difference() -> None:
    op.create_table(
        "settlement_difference",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("line_kind", sa.Text(), nullable=False),
        sa.Column("their_line", sa.BigInteger(), nullable=True),
        sa.Column("receipt", sa.BigInteger(), nullable=True),
        sa.Column("terminal_code", sa.Text(), nullable=False),
        sa.Column("stan", sa.Text(), nullable=False),
        sa.Column("rrn", sa.Text(), nullable=False),
        sa.Column("our_centavos", sa.BigInteger(), nullable=True),
        sa.Column("their_centavos", sa.BigInteger(), nullable=True),
        sa.Column("our_commission_centavos", sa.BigInteger(), nullable=True),
        sa.Column("their_commission_centavos", sa.BigInteger(), nullable=True),
        sa.Column("our_tax_centavos", sa.BigInteger(), nullable=True),
        sa.Column("their_tax_centavos", sa.BigInteger(), nullable=True),
        sa.Column("decision", sa.Text(), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("why", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_settlement_difference")),
        sa.ForeignKeyConstraint(["run_id"], ["settlement_run.id"], name=op.f("fk_settlement_difference_run_id")),
        sa.CheckConstraint(
            "kind IN ('ours_only', 'theirs_only', 'amounts_differ', 'duplicate')",
            name=op.f("ck_settlement_difference_kind"),
        ),
        sa.CheckConstraint(
            "decision IN ('ours_stands', 'theirs_stands', 'adjusted', 'no_action')",
            name=op.f("ck_settlement_difference_decision"),
        ),
        sa.CheckConstraint(
            "(decision IS NULL) = (decided_by IS NULL) AND (decision IS NULL) = (why IS NULL)",
            name=op.f("ck_settlement_difference_decided"),
        ),
        comment="A line that stands on one side only, twice on theirs, or with other amounts. A person decides; nothing is booked by it.",
    )
    op.create_index(op.f("ix_settlement_difference_run_id"), "settlement_difference", ["run_id"], unique=False)
    op.create_index(
        "ix_settlement_difference_open",
        "settlement_difference",
        ["id"],
        unique=False,
        postgresql_where=sa.text("decision IS NULL"),
    )
