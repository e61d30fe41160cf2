"""The tables of the ledger, as SQLAlchemy Core metadata; the migrations make exactly this and a test says so.

Rules of the house:

- Money is ``*_centavos`` (bigint), units are ``*_tenths``, rates ``*_e4``. No numeric, no float. Times are ``timestamptz``.
- The tables that grow with every sale (journal, sale, token, entry, posting, outbox) carry no foreign keys: each would lock and
  probe one more row per line. `ledger.check` proves what the keys would have enforced.
- The journal and the postings are partitioned by month (`ledger.months`); each statement on them says which months it means.
- No triggers and no stored procedures, so that other engines that speak PostgreSQL's wire can run it.

To fill an empty database see `ledger.opening`, which also writes the opening entries.
"""

from ledger.schema.adjustments import adjustment, adjustment_token
from ledger.schema.archive import archived_month, archived_posting_sum
from ledger.schema.books import account, entry, posting
from ledger.schema.columns import account_id, ledger_id, metadata
from ledger.schema.journal import journal, undelivered_answer
from ledger.schema.key_changes import sale_key_change
from ledger.schema.meters import account_holder, key_register, meter, obligation, tariff_version
from ledger.schema.network_orders import network_order
from ledger.schema.networks import (
    acquirer,
    commission_terms,
    deposit,
    settlement_difference,
    settlement_file,
    settlement_run,
    terminal,
)
from ledger.schema.notices import network_notice, notice_lane
from ledger.schema.sales import confirmation, outbox, parked_token, reprint, sale, token
from ledger.schema.session_keys import session_key
from ledger.schema.settlement import closed_day, day_total, reconciliation

SCHEMA_VERSION = "0009"
"""The newest migration this program knows; a database that is newer is refused."""

__all__ = [
    "SCHEMA_VERSION",
    "account",
    "account_holder",
    "account_id",
    "acquirer",
    "adjustment",
    "adjustment_token",
    "archived_month",
    "archived_posting_sum",
    "closed_day",
    "commission_terms",
    "confirmation",
    "day_total",
    "deposit",
    "entry",
    "journal",
    "key_register",
    "ledger_id",
    "metadata",
    "meter",
    "network_notice",
    "network_order",
    "notice_lane",
    "obligation",
    "outbox",
    "parked_token",
    "posting",
    "reconciliation",
    "reprint",
    "sale",
    "sale_key_change",
    "session_key",
    "settlement_difference",
    "settlement_file",
    "settlement_run",
    "tariff_version",
    "terminal",
    "token",
    "undelivered_answer",
]
