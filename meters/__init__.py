"""Meters: the virtual meter, which proves that a token does what the sale said."""
