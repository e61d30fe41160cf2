"""The lines of a settlement day as the books have them, for the settlement file and for comparing a network's own file with it.

A sale counts on the day it was stamped with, the reversal of a parked sale on its own. Once a day is closed neither changes any more.
"""

# ruff: noqa: S608 - constants only, nothing from outside reaches these texts

from messages.settlement_file import REVERSAL, SALE_KINDS

_LOCAL_TIME = """to_char((s.transmitted_at AT TIME ZONE 'UTC') - interval '5 hours', 'YYYY-MM-DD"T"HH24:MI:SS')"""
"""Colombia is five hours behind UTC all year, see `vending.calendar`."""

_KIND = " ".join(f"WHEN '{kind}' THEN '{letter}'" for kind, letter in SALE_KINDS.items())

LINES = f"""
    SELECT CASE s.kind {_KIND} END AS kind, s.id AS receipt, s.stan, s.rrn, s.terminal_code, {_LOCAL_TIME} AS local_time,
        s.paid_centavos AS paid, s.commission_centavos AS commission, s.commission_tax_centavos AS tax,
        s.paid_centavos - s.commission_centavos - s.commission_tax_centavos AS net
    FROM sale AS s WHERE s.settlement_date = {{day}} AND s.acquirer_code = {{acquirer}} AND s.state = 'posted'
    UNION ALL
    SELECT '{REVERSAL}', s.id, s.stan, s.rrn, s.terminal_code, {_LOCAL_TIME}, -s.paid_centavos, -s.commission_centavos,
        -s.commission_tax_centavos, -(s.paid_centavos - s.commission_centavos - s.commission_tax_centavos)
    FROM parked_token AS p JOIN sale AS s ON s.id = p.sale_id
    WHERE p.settlement_date = {{day}} AND p.acquirer_code = {{acquirer}}
"""
"""The lines of one day of one network; ``day`` and ``acquirer`` are to be filled in."""
