"""The money of record on PostgreSQL: schema, journal, reserve, post, void, reversal, inquiry, proof.

One call is one transaction, for a whole batch, with a constant number of SQL statements. Nothing here knows ISO 8583 or Twisted.
"""
