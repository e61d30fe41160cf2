"""What bad days need: confirmations, reprints, undelivered answers, settlement days with their totals, adjustments.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables and say on which settlement day the old sales stand: the local day on which they were sold."""
    _make_closed_day()
    _make_confirmation()
    _make_day_total()
    _make_reconciliation()
    _make_reprint()
    _make_undelivered_answer()
    _make_adjustment()
    _extend_old_tables()


def downgrade() -> None:
    """Remove them."""
    op.drop_index(op.f("ix_sale_terminal_code_id"), table_name="sale")
    op.drop_column("sale", "settlement_date")
    op.create_table_comment(
        "acquirer",
        "A network that sells for the utility, with its float and its commission account.",
        existing_comment="A network that sells for the utility, with its float and its commission account. settlement_date: the day its sales fall on after a cut-over ahead of the clock; the later of it and the clock's local day counts.",
        schema=None,
    )
    op.drop_column("acquirer", "settlement_date")
    op.drop_table("adjustment")
    op.drop_index(op.f("ix_undelivered_answer_terminal_code_noticed_at"), table_name="undelivered_answer")
    op.drop_table("undelivered_answer")
    op.drop_index(op.f("ix_reprint_sale_id"), table_name="reprint")
    op.drop_table("reprint")
    op.drop_index(op.f("ix_reconciliation_settlement_date_acquirer_code"), table_name="reconciliation")
    op.drop_table("reconciliation")
    op.drop_table("day_total")
    op.drop_table("confirmation")
    op.drop_table("closed_day")


def _make_closed_day() -> None:
    op.create_table(
        "closed_day",
        sa.Column("settlement_date", sa.Date(), nullable=False),
        sa.Column("acquirer_code", sa.Text(), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("settlement_date", "acquirer_code", name=op.f("pk_closed_day")),
        comment="A settlement day of an acquirer whose totals are written; also a day without any sale.",
    )


def _make_confirmation() -> None:
    op.create_table(
        "confirmation",
        sa.Column("sale_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sale_id", name=op.f("pk_confirmation")),
        comment="A sale whose terminal said that the customer has his token; the first advice counts.",
    )


def _make_day_total() -> None:
    op.create_table(
        "day_total",
        sa.Column("settlement_date", sa.Date(), nullable=False),
        sa.Column("acquirer_code", sa.Text(), nullable=False),
        sa.Column("terminal_code", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("sales", sa.BigInteger(), nullable=False),
        sa.Column("paid_centavos", sa.BigInteger(), nullable=False),
        sa.Column("commission_centavos", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("settlement_date", "acquirer_code", "terminal_code", "kind", name=op.f("pk_day_total")),
        comment="What a terminal sold on a settlement day, by kind, written once after the day closed and never changed.",
    )


def _make_reconciliation() -> None:
    op.create_table(
        "reconciliation",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("acquirer_code", sa.Text(), nullable=False),
        sa.Column("terminal_code", sa.Text(), nullable=True),
        sa.Column("settlement_date", sa.Date(), nullable=False),
        sa.Column("theirs", postgresql.JSONB(), nullable=False),
        sa.Column("ours", postgresql.JSONB(), nullable=False),
        sa.Column("agrees", sa.Boolean(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reconciliation")),
        comment="Totals that a terminal (or, without one, a whole network) sent for a settlement day, beside ours.",
    )
    op.create_index(
        op.f("ix_reconciliation_settlement_date_acquirer_code"),
        "reconciliation",
        ["settlement_date", "acquirer_code"],
        unique=False,
    )


def _make_reprint() -> None:
    op.create_table(
        "reprint",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("sale_id", sa.BigInteger(), nullable=False),
        sa.Column("acquirer_code", sa.Text(), nullable=False),
        sa.Column("terminal_code", sa.Text(), nullable=False),
        sa.Column("printed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reprint")),
        comment="Each time the digits of a sale were handed out again on a last-answer inquiry; the ticket says COPIA.",
    )
    op.create_index(op.f("ix_reprint_sale_id"), "reprint", ["sale_id"], unique=False)


def _make_undelivered_answer() -> None:
    op.create_table(
        "undelivered_answer",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("acquirer_code", sa.Text(), nullable=False),
        sa.Column("terminal_code", sa.Text(), nullable=False),
        sa.Column("transmitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stan", sa.Text(), nullable=False),
        sa.Column("message_class", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("noticed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_undelivered_answer")),
        comment="An answer that was committed and did not leave because its connection was gone; the terminal's repeat gets it.",
    )
    op.create_index(
        op.f("ix_undelivered_answer_terminal_code_noticed_at"),
        "undelivered_answer",
        ["terminal_code", "noticed_at"],
        unique=False,
    )


def _make_adjustment() -> None:
    op.create_table(
        "adjustment",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'proposed'"), nullable=False),
        sa.Column("meter_id", sa.BigInteger(), nullable=False),
        sa.Column("sale_id", sa.BigInteger(), nullable=True),
        sa.Column("amount_centavos", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("units_tenths", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("proposed_by", sa.Text(), nullable=False),
        sa.Column("proposed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("entry_id", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("(state = 'proposed') = (decided_by IS NULL)", name=op.f("ck_adjustment_decided")),
        sa.CheckConstraint("evidence <> ''", name=op.f("ck_adjustment_evidence")),
        sa.CheckConstraint(
            "kind IN ('refund', 'credit', 'free_token', 'replacement_token')", name=op.f("ck_adjustment_kind")
        ),
        sa.CheckConstraint("state IN ('proposed', 'approved', 'rejected')", name=op.f("ck_adjustment_state")),
        sa.CheckConstraint("amount_centavos >= 0 AND units_tenths >= 0", name=op.f("ck_adjustment_amounts")),
        sa.CheckConstraint("decided_by IS NULL OR decided_by <> proposed_by", name=op.f("ck_adjustment_two_people")),
        sa.ForeignKeyConstraint(["meter_id"], ["meter.id"], name=op.f("fk_adjustment_meter_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_adjustment")),
        comment="Money or units given outside a sale: proposed by one person with evidence, approved or rejected by another. sale_id = the sale it is about, or the sale that mints the token; entry_id = the compensating entry.",
    )


def _extend_old_tables() -> None:
    op.add_column(
        "acquirer", sa.Column("settlement_date", sa.Date(), server_default=sa.text("'2000-01-01'"), nullable=False)
    )
    op.create_table_comment(
        "acquirer",
        "A network that sells for the utility, with its float and its commission account. settlement_date: the day its sales fall on after a cut-over ahead of the clock; the later of it and the clock's local day counts.",
        existing_comment="A network that sells for the utility, with its float and its commission account.",
        schema=None,
    )
    op.add_column("sale", sa.Column("settlement_date", sa.Date(), nullable=True))
    op.execute("UPDATE sale SET settlement_date = local_date")
    op.alter_column("sale", "settlement_date", nullable=False)
    op.create_index(op.f("ix_sale_terminal_code_id"), "sale", ["terminal_code", "id"], unique=False)
