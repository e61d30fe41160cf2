"""What bad days need: confirmations, reprints, undelivered answers, settlement days with their totals, adjustments, parked tokens.

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
    _make_adjustment_token()
    _make_parked_token()
    _extend_old_tables()


def downgrade() -> None:
    """Remove them."""
    _forget_parking()
    op.drop_index(op.f("ix_sale_settlement_date"), table_name="sale")
    op.drop_index(op.f("ix_sale_terminal_code_id"), table_name="sale")
    op.drop_column("sale", "settlement_date")
    op.create_table_comment(
        "acquirer",
        "A network that sells for the utility, with its float and its commission account.",
        existing_comment="A network that sells for the utility, with its float and its commission account. settlement_date: the day its sales fall on after a cut-over ahead of the clock; the later of it and the clock's local day counts.",
        schema=None,
    )
    op.drop_column("acquirer", "settlement_date")
    op.drop_table("adjustment_token")
    op.drop_index(op.f("ix_adjustment_sale_id"), table_name="adjustment")
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
        comment="What a terminal sold on a settlement day, by kind (recharge, payment, and reversal: what was given back), written once after the day closed and never changed.",
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
        sa.CheckConstraint("btrim(evidence) <> ''", name=op.f("ck_adjustment_evidence")),
        sa.CheckConstraint(
            "kind IN ('refund', 'credit', 'free_token', 'replacement_token')", name=op.f("ck_adjustment_kind")
        ),
        sa.CheckConstraint("state IN ('proposed', 'approved', 'rejected')", name=op.f("ck_adjustment_state")),
        sa.CheckConstraint("(amount_centavos > 0) = (kind IN ('refund', 'credit'))", name=op.f("ck_adjustment_money")),
        sa.CheckConstraint(
            "least(amount_centavos, units_tenths) = 0 AND amount_centavos + units_tenths > 0",
            name=op.f("ck_adjustment_amounts"),
        ),
        sa.CheckConstraint("sale_id IS NOT NULL OR kind IN ('credit', 'free_token')", name=op.f("ck_adjustment_sale")),
        sa.CheckConstraint(
            "(entry_id IS NOT NULL) = (state = 'approved' AND kind IN ('refund', 'credit'))",
            name=op.f("ck_adjustment_entry"),
        ),
        sa.CheckConstraint(
            "decided_by IS NULL OR lower(btrim(decided_by)) <> lower(btrim(proposed_by))",
            name=op.f("ck_adjustment_two_people"),
        ),
        sa.ForeignKeyConstraint(["meter_id"], ["meter.id"], name=op.f("fk_adjustment_meter_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_adjustment")),
        comment="Money or units given outside a sale: proposed by one person with evidence, approved or rejected by another. sale_id = the sale it is about; entry_id = the compensating entry. Tokens move no money.",
    )
    op.create_index(
        op.f("ix_adjustment_sale_id"),
        "adjustment",
        ["sale_id"],
        unique=False,
        postgresql_where=sa.text("sale_id IS NOT NULL"),
    )


def _make_adjustment_token() -> None:
    op.create_table(
        "adjustment_token",
        sa.Column("adjustment_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("mint_id", sa.BigInteger(), nullable=False),
        sa.Column("meter_id", sa.BigInteger(), nullable=False),
        sa.Column("register_id", sa.BigInteger(), nullable=False),
        sa.Column("tariff_index", sa.SmallInteger(), nullable=False),
        sa.Column("encryption_algorithm", sa.SmallInteger(), nullable=False),
        sa.Column("tid", sa.BigInteger(), nullable=False),
        sa.Column("units_tenths", sa.BigInteger(), nullable=False),
        sa.Column("reserved_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("digits", sa.Text(), nullable=True),
        sa.Column("minted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(digits IS NULL) = (minted_at IS NULL) AND length(digits) = 20", name=op.f("ck_adjustment_token_digits")
        ),
        sa.ForeignKeyConstraint(["adjustment_id"], ["adjustment.id"], name=op.f("fk_adjustment_token_adjustment_id")),
        sa.ForeignKeyConstraint(["meter_id"], ["meter.id"], name=op.f("fk_adjustment_token_meter_id")),
        sa.PrimaryKeyConstraint("adjustment_id", name=op.f("pk_adjustment_token")),
        sa.UniqueConstraint("meter_id", "tid", name=op.f("uq_adjustment_token_meter_id_tid")),
        sa.UniqueConstraint("mint_id", name=op.f("uq_adjustment_token_mint_id")),
        comment="The token of an approved adjustment. The security module is asked by mint_id; digits (a secret) are missing until it answered.",
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
    op.create_index(op.f("ix_sale_settlement_date"), "sale", ["settlement_date"], unique=False, postgresql_using="brin")
    _extend_for_parking()


def _make_parked_token() -> None:
    op.create_table(
        "parked_token",
        sa.Column("sale_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("meter_id", sa.BigInteger(), nullable=False),
        sa.Column("acquirer_code", sa.Text(), nullable=False),
        sa.Column("terminal_code", sa.Text(), nullable=False),
        sa.Column("paid_centavos", sa.BigInteger(), nullable=False),
        sa.Column("parked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("local_date", sa.Date(), nullable=False),
        sa.Column("settlement_date", sa.Date(), nullable=False),
        sa.Column("claimed_by_sale_id", sa.BigInteger(), nullable=True),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("paid_centavos > 0", name=op.f("ck_parked_token_paid")),
        sa.CheckConstraint(
            "claimed_at IS NULL OR claimed_by_sale_id IS NOT NULL", name=op.f("ck_parked_token_claimed")
        ),
        sa.PrimaryKeyConstraint("sale_id", name=op.f("pk_parked_token")),
        comment="A posted sale that was reversed: its money went back, its tokens wait for the next recharge on the meter. local_date and settlement_date are of the reversal. claimed_by_sale_id = the reserved or posted sale that hands them out; claimed_at = when that one was posted.",
    )
    op.create_index(
        op.f("ix_parked_token_meter_id_sale_id"),
        "parked_token",
        ["meter_id", "sale_id"],
        postgresql_where=sa.text("claimed_by_sale_id IS NULL"),
    )
    op.create_index(
        op.f("ix_parked_token_claimed_by_sale_id"),
        "parked_token",
        ["claimed_by_sale_id"],
        postgresql_where=sa.text("claimed_by_sale_id IS NOT NULL"),
    )
    op.create_index(op.f("ix_parked_token_terminal_code_local_date"), "parked_token", ["terminal_code", "local_date"])


_ENTRY_KINDS = "'sale', 'opening', 'deposit', 'billing', 'adjustment'"
_METER_COMMENT = "A meter, its key reference and its running state. held_by = the reserved sale that alone may move this row; month = yyyymm (local) of month_to_date; remainder = sum of its postings, sign turned."
_METER_COMMENT_WITH_PARKING = "A meter, its key reference and its running state. held_by = the reserved sale that alone may move this row; month = yyyymm (local) of month_to_date; remainder = sum of its postings, sign turned; parked_tokens = its rows in parked_token that no sale has claimed."
_SALE_COMMENT = "A recharge or payment from its reservation on, with the whole quote: numbers in columns, lines (deductions taken, blocks, tokens) as JSON, so that the ticket can be made again. reserved -> posted | void."
_SALE_COMMENT_WITH_CLAIMS = "A recharge or payment from its reservation on, with the whole quote: numbers in columns, lines (deductions taken, blocks, tokens) as JSON, so that the ticket can be made again. reserved -> posted | void. claimed = the part of paid that went for parked tokens; the quote is of the rest."


def _extend_for_parking() -> None:
    op.add_column("meter", sa.Column("parked_tokens", sa.SmallInteger(), server_default=sa.text("0"), nullable=False))
    op.create_check_constraint(op.f("ck_meter_parked_tokens"), "meter", "parked_tokens >= 0")
    op.create_table_comment("meter", _METER_COMMENT_WITH_PARKING, existing_comment=_METER_COMMENT)
    op.add_column("sale", sa.Column("claimed_centavos", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.create_table_comment("sale", _SALE_COMMENT_WITH_CLAIMS, existing_comment=_SALE_COMMENT)
    op.drop_constraint(op.f("ck_entry_kind"), "entry")
    op.create_check_constraint(op.f("ck_entry_kind"), "entry", f"kind IN ({_ENTRY_KINDS}, 'parking')")
    op.create_index(
        op.f("ix_journal_reverses_sale_id"),
        "journal",
        ["reverses_sale_id"],
        postgresql_where=sa.text("reverses_sale_id IS NOT NULL"),
    )


def _forget_parking() -> None:
    op.drop_index(op.f("ix_journal_reverses_sale_id"), table_name="journal")
    op.drop_constraint(op.f("ck_entry_kind"), "entry")
    op.create_check_constraint(op.f("ck_entry_kind"), "entry", f"kind IN ({_ENTRY_KINDS})")
    op.create_table_comment("sale", _SALE_COMMENT, existing_comment=_SALE_COMMENT_WITH_CLAIMS)
    op.drop_column("sale", "claimed_centavos")
    op.create_table_comment("meter", _METER_COMMENT, existing_comment=_METER_COMMENT_WITH_PARKING)
    op.drop_column("meter", "parked_tokens")
    op.drop_table("parked_token")
