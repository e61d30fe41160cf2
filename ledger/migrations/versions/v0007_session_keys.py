"""Session keys of networks.

Revision ID: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "session_key",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("acquirer_id", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("token", sa.LargeBinary(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("kcv", sa.Text(), nullable=False),
        sa.Column("offered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("honoured_until", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("generation >= 0", name=op.f("ck_session_key_generation")),
        sa.CheckConstraint("origin IN ('ours', 'theirs', 'static')", name=op.f("ck_session_key_origin")),
        sa.CheckConstraint("state IN ('offered', 'in_force', 'retired', 'dropped')", name=op.f("ck_session_key_state")),
        sa.CheckConstraint(
            "(state = 'retired') = (honoured_until IS NOT NULL)", name=op.f("ck_session_key_honoured_until")
        ),
        sa.ForeignKeyConstraint(["acquirer_id"], ["acquirer.id"], name=op.f("fk_session_key_acquirer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_session_key")),
        sa.UniqueConstraint("acquirer_id", "generation", name=op.f("uq_session_key_acquirer_id_generation")),
        comment="MAC keys that a network and we changed over the line. token = the key, sealed by the security module and useless without it; "
        "wrapped = as it goes over the line; generation 0 = the key of the register, once it was retired.",
    )
    _allow_orders("'stop', 'start', 'reset_key'")
    op.create_index(
        "uq_session_key_in_force",
        "session_key",
        ["acquirer_id"],
        unique=True,
        postgresql_where=sa.text("state = 'in_force'"),
    )
    op.create_index(
        "uq_session_key_offered",
        "session_key",
        ["acquirer_id", "origin"],
        unique=True,
        postgresql_where=sa.text("state = 'offered'"),
    )


def downgrade() -> None:
    """Remove it."""
    op.drop_table("session_key")
    op.execute("DELETE FROM network_order WHERE action = 'reset_key'")
    _allow_orders("'stop', 'start'")


def _allow_orders(actions: str) -> None:
    op.drop_constraint(op.f("ck_network_order_action"), "network_order")
    op.create_check_constraint(op.f("ck_network_order_action"), "network_order", f"action IN ({actions})")
