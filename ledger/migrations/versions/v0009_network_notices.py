"""Store and forward towards networks: notices and their lanes.

Revision ID: 0009
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

NOTICE_COMMENT = (
    "What a network is told (store and forward), in the order of ids; kept for ever. stan and transmitted_at are of every try. "
    "tries = how often it may have left; tries_before = that at the last retry; counted_from = when its age began. code = data element 39 "
    "of the last answer. action, ordered_by, why = the last order of a person."
)


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "network_notice",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("acquirer_code", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("facts", JSONB(), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'waiting'"), nullable=False),
        _time("created_at"),
        _time("counted_from"),
        _time("due_at"),
        sa.Column("stan", sa.Text(), nullable=True),
        _time("transmitted_at", nullable=True),
        sa.Column("claims", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("tries_before", sa.Integer(), server_default=sa.text("0"), nullable=False),
        _time("tried_at", nullable=True),
        sa.Column("code", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        _time("ended_at", nullable=True),
        sa.Column("action", sa.Text(), nullable=True),
        sa.Column("ordered_by", sa.Text(), nullable=True),
        sa.Column("why", sa.Text(), nullable=True),
        _time("ordered_at", nullable=True),
        _check("kind", "kind IN ('settlement', 'outcome', 'adjustment')"),
        _check("state", "state IN ('waiting', 'sent', 'accepted', 'dead', 'dropped')"),
        _check("ended", "(state IN ('waiting', 'sent')) = (ended_at IS NULL)"),
        _check("reason", "state <> 'dead' OR reason IS NOT NULL"),
        _check("sent", "state <> 'sent' OR (stan IS NOT NULL AND transmitted_at IS NOT NULL AND tries > 0)"),
        _check("action", "action IN ('retry', 'drop')"),
        _check(
            "ordered",
            "CASE WHEN action IS NULL THEN num_nonnulls(ordered_by, why, ordered_at) = 0"
            " ELSE coalesce(btrim(ordered_by) <> '' AND btrim(why) <> '' AND ordered_at IS NOT NULL, false) END",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_network_notice")),
        sa.UniqueConstraint(
            "acquirer_code", "kind", "subject", name=op.f("uq_network_notice_acquirer_code_kind_subject")
        ),
        comment=NOTICE_COMMENT,
    )
    _index("ix_network_notice_open", ["acquirer_code", "id"], "state IN ('waiting', 'sent')")
    _index("ix_network_notice_dead", ["acquirer_code", "id"], "state = 'dead'")
    _index(
        op.f("ix_network_notice_acquirer_code_stan_transmitted_at"),
        ["acquirer_code", "stan", "transmitted_at"],
        "stan IS NOT NULL",
    )
    op.create_table(
        "notice_lane",
        sa.Column("acquirer_code", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        _time("held_until"),
        sa.PrimaryKeyConstraint("acquirer_code", name=op.f("pk_notice_lane")),
        comment="Which process sends a network's notices, and until when nobody else does.",
    )


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _check(name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(f"ck_network_notice_{name}"))


def _index(name: str, columns: list[str], where: str) -> None:
    op.create_index(name, "network_notice", columns, unique=False, postgresql_where=sa.text(where))


def downgrade() -> None:
    """Remove them; what was not sent yet is lost."""
    op.drop_table("notice_lane")
    op.drop_table("network_notice")
