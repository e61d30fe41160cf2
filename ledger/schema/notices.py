"""What networks are told of our own accord, and whose turn it is to tell them."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from ledger.schema.columns import id_column, metadata, time_column

network_notice = Table(
    "network_notice",
    metadata,
    id_column(),
    Column("acquirer_code", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("facts", JSONB, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'waiting'")),
    time_column("created_at"),
    time_column("counted_from"),
    time_column("due_at"),
    Column("stan", Text),
    time_column("transmitted_at", nullable=True),
    Column("claims", Integer, nullable=False, server_default=text("0")),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    Column("tries_before", Integer, nullable=False, server_default=text("0")),
    time_column("tried_at", nullable=True),
    Column("code", Text),
    Column("reason", Text),
    time_column("ended_at", nullable=True),
    Column("action", Text),
    Column("ordered_by", Text),
    Column("why", Text),
    time_column("ordered_at", nullable=True),
    UniqueConstraint("acquirer_code", "kind", "subject"),
    CheckConstraint("kind IN ('settlement', 'outcome', 'adjustment')", name="kind"),
    CheckConstraint("state IN ('waiting', 'sent', 'accepted', 'dead', 'dropped')", name="state"),
    CheckConstraint("(state IN ('waiting', 'sent')) = (ended_at IS NULL)", name="ended"),
    CheckConstraint("state <> 'dead' OR reason IS NOT NULL", name="reason"),
    CheckConstraint("state <> 'sent' OR (stan IS NOT NULL AND transmitted_at IS NOT NULL AND tries > 0)", name="sent"),
    CheckConstraint("action IN ('retry', 'drop')", name="action"),
    CheckConstraint(
        "CASE WHEN action IS NULL THEN num_nonnulls(ordered_by, why, ordered_at) = 0"
        " ELSE coalesce(btrim(ordered_by) <> '' AND btrim(why) <> '' AND ordered_at IS NOT NULL, false) END",
        name="ordered",
    ),
    Index("ix_network_notice_open", "acquirer_code", "id", postgresql_where=text("state IN ('waiting', 'sent')")),
    Index("ix_network_notice_dead", "acquirer_code", "id", postgresql_where=text("state = 'dead'")),
    Index(None, "acquirer_code", "stan", "transmitted_at", postgresql_where=text("stan IS NOT NULL")),
    comment="What a network is told (store and forward), in the order of ids; kept for ever. stan and transmitted_at are of every try. "
    "tries = how often it may have left; tries_before = that at the last retry; counted_from = when its age began. code = data element 39 "
    "of the last answer. action, ordered_by, why = the last order of a person.",
)

notice_lane = Table(
    "notice_lane",
    metadata,
    Column("acquirer_code", Text, nullable=False),
    Column("holder", Text, nullable=False),
    time_column("held_until"),
    PrimaryKeyConstraint("acquirer_code"),
    comment="Which process sends a network's notices, and until when nobody else does.",
)
