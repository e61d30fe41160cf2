"""Stopping and starting a network: who, when and why.

Revision ID: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "network_order",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("acquirer_id", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("ordered_by", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("ordered_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("action IN ('stop', 'start')", name=op.f("ck_network_order_action")),
        sa.CheckConstraint("btrim(ordered_by) <> ''", name=op.f("ck_network_order_ordered_by")),
        sa.CheckConstraint("btrim(why) <> ''", name=op.f("ck_network_order_why")),
        sa.ForeignKeyConstraint(["acquirer_id"], ["acquirer.id"], name=op.f("fk_network_order_acquirer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_network_order")),
        comment="A network was stopped (it sells nothing new) or started again. The last row of a network says why its status is what it is.",
    )
    op.create_index(op.f("ix_network_order_acquirer_id_id"), "network_order", ["acquirer_id", "id"], unique=False)


def downgrade() -> None:
    """Remove it."""
    op.drop_table("network_order")
