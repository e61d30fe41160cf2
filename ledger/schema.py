"""The tables of the ledger, as SQLAlchemy Core metadata; the migrations make exactly this and a test says so.

Rules of the house:

- Money is ``*_centavos`` (bigint), units are ``*_tenths``, rates ``*_e4``. No numeric, no float. Times are ``timestamptz``.
- The tables that grow with every sale (journal, sale, token, entry, posting, outbox) carry no foreign keys: each would lock and
  probe one more row per line. `ledger.check` proves what the keys would have enforced.
- No triggers and no stored procedures, so that other engines that speak PostgreSQL's wire can run it.

To fill an empty database see `ledger.opening`, which also writes the opening entries.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Sequence,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

SCHEMA_VERSION = "0002"
"""The newest migration this program knows; a database that is newer is refused."""

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

ledger_id = Sequence("ledger_id", metadata=metadata, data_type=BigInteger)
"""Ids of sales and entries. They share one sequence so that the entry that posts a sale carries the sale's own id."""

account_id = Sequence("account_id", metadata=metadata, data_type=BigInteger, start=1000)
"""Ids of accounts that belong to acquirers; the fixed ones are in `ledger.chart`."""


def _id() -> Column[int]:
    return Column("id", BigInteger, Identity(), primary_key=True)


def _centavos(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


def _time(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


account = Table(
    "account",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("code", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("acquirer_code", Text),
    _centavos("balance_centavos"),
    _centavos("pending_centavos"),
    _centavos("credit_line_centavos"),
    CheckConstraint("kind IN ('asset', 'liability', 'revenue', 'expense', 'equity')", name="kind"),
    CheckConstraint("pending_centavos >= 0", name="pending"),
    CheckConstraint("credit_line_centavos >= 0", name="credit_line"),
    comment="Chart of accounts. balance = sum of its postings (debit positive); pending = sum of the reserved sales of a float; "
    "a float covers a sale while credit_line - balance - pending >= paid.",
    postgresql_with={"fillfactor": 20},
)

acquirer = Table(
    "acquirer",
    metadata,
    _id(),
    Column("code", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False, server_default=text("'active'")),
    Column("commission_basis_points", Integer, nullable=False, server_default=text("0")),
    Column("float_account_id", BigInteger, ForeignKey("account.id"), nullable=False),
    Column("commission_account_id", BigInteger, ForeignKey("account.id"), nullable=False),
    Column("settlement_date", Date, nullable=False, server_default=text("'2000-01-01'")),
    CheckConstraint("status IN ('active', 'stopped')", name="status"),
    CheckConstraint("commission_basis_points BETWEEN 0 AND 10000", name="commission"),
    comment="A network that sells for the utility, with its float and its commission account. settlement_date: the day its sales fall "
    "on after a cut-over ahead of the clock; the later of it and the clock's local day counts.",
)

terminal = Table(
    "terminal",
    metadata,
    _id(),
    Column("acquirer_id", BigInteger, ForeignKey("acquirer.id"), nullable=False),
    Column("code", Text, nullable=False),
    Column("merchant", Text, nullable=False, server_default=text("''")),
    Column("status", Text, nullable=False, server_default=text("'active'")),
    UniqueConstraint("acquirer_id", "code"),
    CheckConstraint("status IN ('active', 'blocked')", name="status"),
    comment="A point of sale (datáfono, till) of an acquirer; code is data element 41.",
)

key_register = Table(
    "key_register",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("base_year", Integer, nullable=False),
    Column("description", Text, nullable=False, server_default=text("''")),
    CheckConstraint("base_year IN (1993, 2014, 2035)", name="base_year"),
    comment="A key register of the security module by its number there; base_year is where its token identifiers count from.",
)

account_holder = Table(
    "account_holder",
    metadata,
    _id(),
    Column("account_number", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("address", Text, nullable=False),
    comment="Who is behind one or more meters: the customer's account with the utility.",
)

meter = Table(
    "meter",
    metadata,
    _id(),
    Column("meter_number", Text, nullable=False, unique=True),
    Column("pan", Text, nullable=False),
    Column("holder_id", BigInteger, ForeignKey("account_holder.id"), nullable=False),
    Column("register_id", BigInteger, ForeignKey("key_register.id"), nullable=False),
    Column("tariff_index", SmallInteger, nullable=False),
    Column("encryption_algorithm", SmallInteger, nullable=False),
    Column("service", SmallInteger, nullable=False),
    Column("user_class", Text, nullable=False),
    Column("stratum", SmallInteger, nullable=False),
    Column("altitude", Text, nullable=False),
    Column("status", Text, nullable=False, server_default=text("'active'")),
    Column("held_by", BigInteger),
    Column("last_tid", BigInteger, nullable=False, server_default=text("0")),
    Column("month", Integer, nullable=False, server_default=text("0")),
    Column("month_to_date_tenths", BigInteger, nullable=False, server_default=text("0")),
    _centavos("remainder_centavos"),
    Column("parked_tokens", SmallInteger, nullable=False, server_default=text("0")),
    CheckConstraint("status IN ('active', 'blocked')", name="status"),
    CheckConstraint("parked_tokens >= 0", name="parked_tokens"),
    CheckConstraint("service IN (0, 1, 2)", name="service"),
    CheckConstraint("encryption_algorithm IN (7, 11)", name="encryption_algorithm"),
    CheckConstraint("month_to_date_tenths >= 0", name="month_to_date"),
    CheckConstraint("remainder_centavos >= 0", name="remainder"),
    Index(None, "holder_id"),
    comment="A meter, its key reference and its running state. held_by = the reserved sale that alone may move this row; "
    "month = yyyymm (local) of month_to_date; remainder = sum of its postings, sign turned; parked_tokens = its rows in parked_token "
    "that no sale has claimed.",
    postgresql_with={"fillfactor": 70},
)

obligation = Table(
    "obligation",
    metadata,
    _id(),
    Column("meter_id", BigInteger, ForeignKey("meter.id"), nullable=False),
    Column("code", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("due", Date, nullable=False),
    _centavos("capital_centavos"),
    _centavos("interest_centavos"),
    _centavos("full_centavos"),
    _centavos("instalment_due_centavos"),
    Column("share_basis_points", Integer, nullable=False, server_default=text("0")),
    Column("share_overdue_basis_points", Integer),
    Column("overdue", Boolean, nullable=False, server_default=text("false")),
    _centavos("minimum_centavos"),
    Column("disputed", Boolean, nullable=False, server_default=text("false")),
    Column("status", Text, nullable=False, server_default=text("'open'")),
    UniqueConstraint("meter_id", "code"),
    CheckConstraint("kind IN ('charge', 'emergency', 'obligation')", name="kind"),
    CheckConstraint("status IN ('open', 'settled')", name="status"),
    CheckConstraint("capital_centavos >= 0", name="capital"),
    CheckConstraint("interest_centavos >= 0", name="interest"),
    CheckConstraint("full_centavos >= 0", name="full"),
    CheckConstraint("instalment_due_centavos >= 0", name="instalment_due"),
    CheckConstraint("minimum_centavos >= 0", name="minimum"),
    CheckConstraint("share_basis_points BETWEEN 0 AND 10000", name="share"),
    CheckConstraint("share_overdue_basis_points BETWEEN 0 AND 10000", name="share_overdue"),
    comment="What is owed on a meter: a third party's charge, emergency credit, or an obligation (old debt). capital (for charge and "
    "emergency: all that is owed) and interest = sums of their postings. full = a charge before its own subsidy.",
    postgresql_with={"fillfactor": 70},
)

tariff_version = Table(
    "tariff_version",
    metadata,
    _id(),
    Column("service", SmallInteger, nullable=False),
    Column("user_class", Text, nullable=False),
    Column("stratum", SmallInteger, nullable=False),
    Column("altitude", Text, nullable=False),
    Column("valid_from", Date, nullable=False),
    Column("publication", Text, nullable=False),
    Column("blocks", JSONB, nullable=False),
    UniqueConstraint("service", "user_class", "stratum", "altitude", "valid_from"),
    CheckConstraint("service IN (0, 1, 2)", name="service"),
    comment='A published tariff; blocks = [{"up_to": tenths or null, "rate": e4, "full_rate": e4}, ...] ascending.',
)

entry = Table(
    "entry",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("sale_id", BigInteger),
    _time("posted_at"),
    Column("local_date", Date, nullable=False),
    Column("memo", Text, nullable=False, server_default=text("''")),
    CheckConstraint("kind IN ('sale', 'opening', 'deposit', 'billing', 'adjustment', 'parking')", name="kind"),
    comment="One event in the books; append-only. The entry of a sale has the id of the sale.",
)

posting = Table(
    "posting",
    metadata,
    Column("entry_id", BigInteger, nullable=False),
    Column("line", SmallInteger, nullable=False),
    Column("account_id", BigInteger, nullable=False),
    Column("amount_centavos", BigInteger, nullable=False),
    Column("meter_id", BigInteger),
    Column("obligation_id", BigInteger),
    Column("part", Text),
    PrimaryKeyConstraint("entry_id", "line"),
    CheckConstraint("amount_centavos <> 0", name="amount"),
    CheckConstraint("part IN ('capital', 'interest')", name="part"),
    Index(None, "obligation_id", postgresql_where=text("obligation_id IS NOT NULL")),
    comment="Append-only. Signed centavos, debit positive; the lines of an entry sum to zero. On a control account meter_id or "
    "obligation_id with part says whose line it is.",
)

sale = Table(
    "sale",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("acquirer_code", Text, nullable=False),
    Column("terminal_code", Text, nullable=False),
    _time("transmitted_at"),
    Column("stan", Text, nullable=False),
    Column("message_class", Text, nullable=False),
    Column("rrn", Text, nullable=False),
    Column("meter_id", BigInteger, nullable=False),
    Column("register_id", BigInteger, nullable=False),
    Column("tariff_index", SmallInteger, nullable=False),
    Column("encryption_algorithm", SmallInteger, nullable=False),
    Column("float_account_id", BigInteger, nullable=False),
    Column("commission_account_id", BigInteger, nullable=False),
    Column("local_date", Date, nullable=False),
    Column("settlement_date", Date, nullable=False),
    _time("reserved_at"),
    _time("ended_at", nullable=True),
    Column("paid_centavos", BigInteger, nullable=False),
    Column("commission_centavos", BigInteger, nullable=False),
    Column("carried_in_centavos", BigInteger, nullable=False),
    Column("carried_out_centavos", BigInteger, nullable=False),
    Column("units_tenths", BigInteger, nullable=False),
    Column("charged_centavos", BigInteger, nullable=False),
    Column("full_cost_centavos", BigInteger, nullable=False),
    Column("subsidy_centavos", BigInteger, nullable=False),
    Column("contribution_centavos", BigInteger, nullable=False),
    Column("month_to_date_tenths", BigInteger, nullable=False),
    Column("lines", JSONB, nullable=False),
    _centavos("claimed_centavos"),
    CheckConstraint("state IN ('reserved', 'posted', 'void')", name="state"),
    CheckConstraint("kind IN ('recharge', 'payment')", name="kind"),
    CheckConstraint("paid_centavos > 0", name="paid"),
    Index("ix_sale_reserved", "reserved_at", postgresql_where=text("state = 'reserved'")),
    Index(None, "meter_id", "id"),
    Index(None, "terminal_code", "id"),
    # Sales are appended day by day, so block ranges find a day, and next to nothing is written for a sale.
    Index(None, "settlement_date", postgresql_using="brin"),
    comment="A recharge or payment from its reservation on, with the whole quote: numbers in columns, lines (deductions taken, "
    "blocks, tokens) as JSON, so that the ticket can be made again. reserved -> posted | void. claimed = the part of paid that went for "
    "parked tokens; the quote is of the rest.",
)

token = Table(
    "token",
    metadata,
    Column("sale_id", BigInteger, nullable=False),
    Column("position", SmallInteger, nullable=False),
    Column("meter_id", BigInteger, nullable=False),
    Column("tid", BigInteger, nullable=False),
    Column("units_tenths", BigInteger, nullable=False),
    Column("digits", Text),
    PrimaryKeyConstraint("sale_id", "position"),
    UniqueConstraint("meter_id", "tid"),
    CheckConstraint("length(digits) = 20", name="digits"),
    comment="A credit token and its identifier. digits (a secret) are there exactly when the sale is posted; the identifier of a "
    "void sale stays used.",
    postgresql_with={"fillfactor": 60},
)

journal = Table(
    "journal",
    metadata,
    _time("transmitted_at"),
    Column("stan", Text, nullable=False),
    Column("terminal_code", Text, nullable=False),
    Column("acquirer_code", Text, nullable=False),
    Column("message_class", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("rrn", Text, nullable=False),
    Column("request", LargeBinary, nullable=False),
    Column("code", Text),
    Column("sale_id", BigInteger),
    Column("reverses_sale_id", BigInteger),
    Column("answer", LargeBinary),
    _time("received_at"),
    _time("answered_at", nullable=True),
    PrimaryKeyConstraint("transmitted_at", "stan", "terminal_code", "acquirer_code", "message_class"),
    Index(None, "reverses_sale_id", postgresql_where=text("reverses_sale_id IS NOT NULL")),
    comment="Every authenticated request once, by its key, with the answer that was made for it. sale_id = the sale it reserved; "
    "reverses_sale_id = the sale that a reversal asked to undo. code is null until the outcome is known. An empty digest marks a "
    "request that was reversed before it came.",
    # The answer, larger than the rest of the row, comes later: where it still fits into the page, no index is touched.
    postgresql_with={"fillfactor": 30},
)

outbox = Table(
    "outbox",
    metadata,
    _id(),
    Column("sale_id", BigInteger, nullable=False),
    Column("topic", Text, nullable=False),
    _time("created_at"),
    _time("done_at", nullable=True),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Index("ix_outbox_open", "id", postgresql_where=text("done_at IS NULL")),
    comment="What still has to leave because of a posted sale (meter delivery, SMS); written in the transaction that posts it.",
)

confirmation = Table(
    "confirmation",
    metadata,
    Column("sale_id", BigInteger, primary_key=True, autoincrement=False),
    _time("confirmed_at"),
    comment="A sale whose terminal said that the customer has his token; the first advice counts.",
)

reprint = Table(
    "reprint",
    metadata,
    _id(),
    Column("sale_id", BigInteger, nullable=False),
    Column("acquirer_code", Text, nullable=False),
    Column("terminal_code", Text, nullable=False),
    _time("printed_at"),
    Index(None, "sale_id"),
    comment="Each time the digits of a sale were handed out again on a last-answer inquiry; the ticket says COPIA.",
)

undelivered_answer = Table(
    "undelivered_answer",
    metadata,
    _id(),
    Column("acquirer_code", Text, nullable=False),
    Column("terminal_code", Text, nullable=False),
    _time("transmitted_at"),
    Column("stan", Text, nullable=False),
    Column("message_class", Text, nullable=False),
    Column("reason", Text, nullable=False),
    _time("noticed_at"),
    Index(None, "terminal_code", "noticed_at"),
    comment="An answer that was committed and did not leave because its connection was gone; the terminal's repeat gets it.",
)

day_total = Table(
    "day_total",
    metadata,
    Column("settlement_date", Date, nullable=False),
    Column("acquirer_code", Text, nullable=False),
    Column("terminal_code", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("sales", BigInteger, nullable=False),
    Column("paid_centavos", BigInteger, nullable=False),
    Column("commission_centavos", BigInteger, nullable=False),
    _time("closed_at"),
    PrimaryKeyConstraint("settlement_date", "acquirer_code", "terminal_code", "kind"),
    comment="What a terminal sold on a settlement day, by kind (recharge, payment, and reversal: what was given back), "
    "written once after the day closed and never changed.",
)

closed_day = Table(
    "closed_day",
    metadata,
    Column("settlement_date", Date, nullable=False),
    Column("acquirer_code", Text, nullable=False),
    _time("closed_at"),
    PrimaryKeyConstraint("settlement_date", "acquirer_code"),
    comment="A settlement day of an acquirer whose totals are written; also a day without any sale.",
)

reconciliation = Table(
    "reconciliation",
    metadata,
    _id(),
    Column("acquirer_code", Text, nullable=False),
    Column("terminal_code", Text),
    Column("settlement_date", Date, nullable=False),
    Column("theirs", JSONB, nullable=False),
    Column("ours", JSONB, nullable=False),
    Column("agrees", Boolean, nullable=False),
    _time("asked_at"),
    Index(None, "settlement_date", "acquirer_code"),
    comment="Totals that a terminal (or, without one, a whole network) sent for a settlement day, beside ours.",
)

adjustment = Table(
    "adjustment",
    metadata,
    _id(),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'proposed'")),
    Column("meter_id", BigInteger, ForeignKey("meter.id"), nullable=False),
    Column("sale_id", BigInteger),
    Column("amount_centavos", BigInteger, nullable=False, server_default=text("0")),
    Column("units_tenths", BigInteger, nullable=False, server_default=text("0")),
    Column("evidence", Text, nullable=False),
    Column("proposed_by", Text, nullable=False),
    _time("proposed_at"),
    Column("decided_by", Text),
    _time("decided_at", nullable=True),
    Column("entry_id", BigInteger),
    CheckConstraint("kind IN ('refund', 'credit', 'free_token', 'replacement_token')", name="kind"),
    CheckConstraint("state IN ('proposed', 'approved', 'rejected')", name="state"),
    CheckConstraint("decided_by IS NULL OR lower(btrim(decided_by)) <> lower(btrim(proposed_by))", name="two_people"),
    CheckConstraint("(state = 'proposed') = (decided_by IS NULL)", name="decided"),
    CheckConstraint("btrim(evidence) <> ''", name="evidence"),
    CheckConstraint("(amount_centavos > 0) = (kind IN ('refund', 'credit'))", name="money"),
    CheckConstraint("least(amount_centavos, units_tenths) = 0 AND amount_centavos + units_tenths > 0", name="amounts"),
    CheckConstraint("sale_id IS NOT NULL OR kind IN ('credit', 'free_token')", name="sale"),
    CheckConstraint("(entry_id IS NOT NULL) = (state = 'approved' AND kind IN ('refund', 'credit'))", name="entry"),
    Index(None, "sale_id", postgresql_where=text("sale_id IS NOT NULL")),
    comment="Money or units given outside a sale: proposed by one person with evidence, approved or rejected by another. sale_id = the "
    "sale it is about; entry_id = the compensating entry. Tokens move no money.",
)

adjustment_token = Table(
    "adjustment_token",
    metadata,
    Column("adjustment_id", BigInteger, ForeignKey("adjustment.id"), primary_key=True, autoincrement=False),
    Column("mint_id", BigInteger, nullable=False, unique=True),
    Column("meter_id", BigInteger, ForeignKey("meter.id"), nullable=False),
    Column("register_id", BigInteger, nullable=False),
    Column("tariff_index", SmallInteger, nullable=False),
    Column("encryption_algorithm", SmallInteger, nullable=False),
    Column("tid", BigInteger, nullable=False),
    Column("units_tenths", BigInteger, nullable=False),
    _time("reserved_at"),
    Column("digits", Text),
    _time("minted_at", nullable=True),
    UniqueConstraint("meter_id", "tid"),
    CheckConstraint("(digits IS NULL) = (minted_at IS NULL) AND length(digits) = 20", name="digits"),
    comment="The token of an approved adjustment. The security module is asked by mint_id; digits (a secret) are missing until it answered.",
)

parked_token = Table(
    "parked_token",
    metadata,
    Column("sale_id", BigInteger, primary_key=True, autoincrement=False),
    Column("meter_id", BigInteger, nullable=False),
    Column("acquirer_code", Text, nullable=False),
    Column("terminal_code", Text, nullable=False),
    Column("paid_centavos", BigInteger, nullable=False),
    _time("parked_at"),
    Column("local_date", Date, nullable=False),
    Column("settlement_date", Date, nullable=False),
    Column("claimed_by_sale_id", BigInteger),
    _time("claimed_at", nullable=True),
    CheckConstraint("paid_centavos > 0", name="paid"),
    CheckConstraint("claimed_at IS NULL OR claimed_by_sale_id IS NOT NULL", name="claimed"),
    Index(None, "meter_id", "sale_id", postgresql_where=text("claimed_by_sale_id IS NULL")),
    Index(None, "claimed_by_sale_id", postgresql_where=text("claimed_by_sale_id IS NOT NULL")),
    Index(None, "terminal_code", "local_date"),
    comment="A posted sale that was reversed: its money went back, its tokens wait for the next recharge on the meter. local_date and "
    "settlement_date are of the reversal. claimed_by_sale_id = the reserved or posted sale that hands them out; claimed_at = when that "
    "one was posted.",
)
