"""An invented town to sell to: made from a seed, the same each time, and loaded into an empty ledger."""
