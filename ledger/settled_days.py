"""Which closed days are days of a network's business: all but its first row, the day before, where its row of closed days begins."""

from sqlalchemy import text

IN_BUSINESS = """
    EXISTS (SELECT 1 FROM closed_day AS b WHERE b.acquirer_code = c.acquirer_code AND b.settlement_date < c.settlement_date)
"""
"""Of a row ``c`` of ``closed_day``."""

IS_SETTLED = text(f"""
    SELECT 1 FROM closed_day AS c WHERE c.settlement_date = :day AND c.acquirer_code = :acquirer AND {IN_BUSINESS}
""")  # noqa: S608 - constants only
"""A row if ``day`` of ``acquirer`` is over and was a day of its business."""
