"""What a caller of the ledger must tell apart when the database fails."""


class LedgerUnavailable(Exception):
    """The database cannot be used now and the transaction certainly did not happen: nothing was taken."""


class LedgerOutcomeUnknown(Exception):
    """The connection was lost while the transaction was being committed: it may have happened. Ask again by the same key or id."""


class SchemaTooNew(Exception):
    """The database was migrated by a newer program; this one must not touch it."""


class SchemaTooOld(Exception):
    """The database lacks migrations that this program needs; run the upgrade first."""
