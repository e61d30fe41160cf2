"""The migrations of the ledger's schema; `ledger.upgrade` runs them."""
