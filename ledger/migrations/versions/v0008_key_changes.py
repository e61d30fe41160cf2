"""Key changes with a sale: which register follows which, a meter's next tariff index, and the tokens; orders of engineers.

Revision ID: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

REGISTER_COMMENT = (
    "A key register of the security module by its number there; base_year is where its token identifiers count from."
)
SUCCESSOR_COMMENT = " successor = the register that its meters move to with their next sale."
METER_COMMENT = (
    "A meter, its key reference and its running state. held_by = the reserved sale that alone may move this row; "
    "month = yyyymm (local) of month_to_date; remainder = sum of its postings, sign turned; parked_tokens = its rows in parked_token "
    "that no sale has claimed."
)
INDEX_COMMENT = " next_tariff_index = the one that its key gets with its next sale."
KEY_CHANGE_COMMENT = (
    "The key change that a sale hands out before its credit. The security module is asked by mint_id. digits (a secret; 20 for "
    "each section, in the order of entry) are there exactly when the sale is posted, and only then has the meter's row the new key."
)
ADJUSTMENT_COMMENT = (
    "Money or units given outside a sale: proposed by one person with evidence, approved or rejected by another. sale_id = the "
    "sale it is about; entry_id = the compensating entry. Tokens move no money."
)
ENGINEERS_ADJUSTMENT_COMMENT = (
    "Money, units or an engineer's token given outside a sale: proposed by one person with evidence, approved or rejected by "
    "another. sale_id = the sale it is about; entry_id = the compensating entry; value = what an engineer's token says. Tokens move no money."
)
ISSUED_COMMENT = "The token of an approved adjustment. The security module is asked by mint_id; digits (a secret) are missing until it answered."
TEST_COMMENT = " A meter test has no tid."
KINDS = "'refund', 'credit', 'free_token', 'replacement_token'"
ENGINEERS_KINDS = "'power_limit', 'phase_unbalance', 'clear_credit', 'clear_tamper', 'meter_test'"


def upgrade() -> None:
    """Add the columns and the table, and let adjustments be an engineer's."""
    _upgrade_adjustments()
    op.add_column("key_register", sa.Column("successor_id", sa.BigInteger(), nullable=True))
    op.create_foreign_key(
        op.f("fk_key_register_successor_id"), "key_register", "key_register", ["successor_id"], ["id"]
    )
    op.create_check_constraint(op.f("ck_key_register_successor"), "key_register", "successor_id <> id")
    op.create_table_comment("key_register", REGISTER_COMMENT + SUCCESSOR_COMMENT, existing_comment=REGISTER_COMMENT)
    op.add_column("meter", sa.Column("next_tariff_index", sa.SmallInteger(), nullable=True))
    op.create_check_constraint(op.f("ck_meter_next_tariff_index"), "meter", "next_tariff_index BETWEEN 0 AND 99")
    op.create_table_comment("meter", METER_COMMENT + INDEX_COMMENT, existing_comment=METER_COMMENT)
    op.create_table(
        "sale_key_change",
        sa.Column("sale_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("mint_id", sa.BigInteger(), nullable=False),
        sa.Column("meter_id", sa.BigInteger(), nullable=False),
        sa.Column("from_register_id", sa.BigInteger(), nullable=False),
        sa.Column("from_tariff_index", sa.SmallInteger(), nullable=False),
        sa.Column("to_register_id", sa.BigInteger(), nullable=False),
        sa.Column("to_tariff_index", sa.SmallInteger(), nullable=False),
        sa.Column("sections", sa.SmallInteger(), nullable=False),
        sa.Column("is_rollover", sa.Boolean(), nullable=False),
        sa.Column("digits", sa.Text(), nullable=True),
        sa.CheckConstraint("sections BETWEEN 2 AND 4", name=op.f("ck_sale_key_change_sections")),
        sa.CheckConstraint("length(digits) = 20 * sections", name=op.f("ck_sale_key_change_digits")),
        sa.PrimaryKeyConstraint("sale_id", name=op.f("pk_sale_key_change")),
        sa.UniqueConstraint("mint_id", name=op.f("uq_sale_key_change_mint_id")),
        comment=KEY_CHANGE_COMMENT,
    )
    op.create_index(op.f("ix_sale_key_change_meter_id"), "sale_key_change", ["meter_id"], unique=False)


def _upgrade_adjustments() -> None:
    op.add_column("adjustment", sa.Column("value", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    _replace_check("kind", f"kind IN ({KINDS}, {ENGINEERS_KINDS})")
    _replace_check("amounts", "(units_tenths > 0) = (kind IN ('free_token', 'replacement_token'))")
    _replace_check("sale", "sale_id IS NOT NULL OR kind NOT IN ('refund', 'replacement_token')")
    op.alter_column("adjustment_token", "tid", nullable=True)
    op.create_table_comment("adjustment", ENGINEERS_ADJUSTMENT_COMMENT, existing_comment=ADJUSTMENT_COMMENT)
    op.create_table_comment("adjustment_token", ISSUED_COMMENT + TEST_COMMENT, existing_comment=ISSUED_COMMENT)


def _replace_check(name: str, condition: str) -> None:
    op.drop_constraint(op.f(f"ck_adjustment_{name}"), "adjustment", type_="check")
    op.create_check_constraint(op.f(f"ck_adjustment_{name}"), "adjustment", condition)


def downgrade() -> None:
    """Remove them; fails where engineers' tokens were given, which no older program can read."""
    op.create_table_comment("adjustment_token", ISSUED_COMMENT, existing_comment=ISSUED_COMMENT + TEST_COMMENT)
    op.create_table_comment("adjustment", ADJUSTMENT_COMMENT, existing_comment=ENGINEERS_ADJUSTMENT_COMMENT)
    op.alter_column("adjustment_token", "tid", nullable=False)
    _replace_check("sale", "sale_id IS NOT NULL OR kind IN ('credit', 'free_token')")
    _replace_check("amounts", "least(amount_centavos, units_tenths) = 0 AND amount_centavos + units_tenths > 0")
    _replace_check("kind", f"kind IN ({KINDS})")
    op.drop_column("adjustment", "value")
    op.drop_table("sale_key_change")
    op.create_table_comment("meter", METER_COMMENT, existing_comment=METER_COMMENT + INDEX_COMMENT)
    op.drop_constraint(op.f("ck_meter_next_tariff_index"), "meter", type_="check")
    op.drop_column("meter", "next_tariff_index")
    op.create_table_comment("key_register", REGISTER_COMMENT, existing_comment=REGISTER_COMMENT + SUCCESSOR_COMMENT)
    op.drop_constraint(op.f("ck_key_register_successor"), "key_register", type_="check")
    op.drop_constraint(op.f("fk_key_register_successor_id"), "key_register", type_="foreignkey")
    op.drop_column("key_register", "successor_id")
