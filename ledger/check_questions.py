"""The questions of the proof: each asks for rows that should not exist, by name. Add one here and a planted error in its test."""

# ruff: noqa: S608 - constants only, nothing from outside reaches these texts

from ledger.chart import Account
from ledger.network_questions import NETWORK_QUESTIONS

_JOURNAL_OF_SALE = """
    j.transmitted_at = s.transmitted_at AND j.stan = s.stan AND j.terminal_code = s.terminal_code
    AND j.acquirer_code = s.acquirer_code AND j.message_class = s.message_class
"""
_CONTROL_OF_CAPITAL = (
    f"CASE o.kind WHEN 'charge' THEN {Account.THIRD_PARTY_RECEIVABLE.value} "
    f"WHEN 'emergency' THEN {Account.EMERGENCY_RECEIVABLE.value} ELSE {Account.OBLIGATION_CAPITAL_RECEIVABLE.value} END"
)
_OBLIGATION_CONTROLS = (
    f"({Account.THIRD_PARTY_RECEIVABLE.value}, {Account.EMERGENCY_RECEIVABLE.value}, "
    f"{Account.OBLIGATION_CAPITAL_RECEIVABLE.value}, {Account.OBLIGATION_INTEREST_RECEIVABLE.value})"
)

# What left the database counts by its sums; they stand for lines of no entry.
_POSTINGS = """(
    SELECT entry_id, line, account_id, amount_centavos, meter_id, obligation_id, part FROM posting
    UNION ALL SELECT NULL, NULL, account_id, amount_centavos, NULLIF(meter_id, 0), NULLIF(obligation_id, 0), NULLIF(part, '')
    FROM archived_posting_sum
)"""


def _is_archived(table_name: str, day: str) -> str:
    """Whether the month of a day (an expression) has left the database; what it held is then in sums and counts only."""
    months = f"SELECT month FROM archived_month WHERE table_name = '{table_name}'"
    return f"coalesce(CAST(date_trunc('month', {day}) AS date) = ANY (ARRAY({months})), false)"


QUESTIONS: dict[str, str] = {
    "entries-sum-to-zero": """
        SELECT entry_id, sum(amount_centavos) AS sum_centavos FROM posting GROUP BY entry_id HAVING sum(amount_centavos) <> 0
    """,
    "entries-have-postings": f"""
        SELECT coalesce(e.id, p.entry_id) AS entry_id, e.local_date, p.posted_on FROM entry AS e
        FULL JOIN (SELECT DISTINCT entry_id, posted_on FROM posting) AS p ON p.entry_id = e.id AND p.posted_on = e.local_date
        WHERE e.id IS NULL OR (p.entry_id IS NULL AND NOT {_is_archived("posting", "e.local_date")})
    """,
    "archived-months-held-their-entries": """
        SELECT a.month, a.entries AS archived_entries, e.entries FROM (
            SELECT month, sum(subject_count) AS entries FROM archived_month WHERE table_name = 'posting' GROUP BY month
        ) AS a LEFT JOIN (
            SELECT CAST(date_trunc('month', local_date) AS date) AS month, count(*) AS entries FROM entry
            WHERE NOT EXISTS (SELECT FROM posting AS p WHERE p.entry_id = entry.id AND p.posted_on = entry.local_date) GROUP BY 1
        ) AS e ON e.month = a.month
        WHERE a.entries <> coalesce(e.entries, 0)
    """,
    "archived-months-held-their-sales": f"""
        SELECT a.month, a.sales AS archived_sales, s.sales FROM (
            SELECT month, sum(subject_count) AS sales FROM archived_month WHERE table_name = 'journal' GROUP BY month
        ) AS a LEFT JOIN (
            SELECT CAST(date_trunc('month', s.transmitted_at AT TIME ZONE 'UTC') AS date) AS month, count(*) AS sales FROM sale AS s
            WHERE NOT EXISTS (SELECT FROM journal AS j WHERE {_JOURNAL_OF_SALE}) GROUP BY 1
        ) AS s ON s.month = a.month
        WHERE a.sales <> coalesce(s.sales, 0)
    """,
    "archived-postings-sum-to-zero": """
        SELECT sum(amount_centavos) AS sum_centavos FROM archived_posting_sum HAVING sum(amount_centavos) <> 0
    """,
    "balances-equal-postings": f"""
        SELECT coalesce(a.id, p.account_id) AS account_id, a.balance_centavos, p.total AS postings_centavos FROM account AS a
        FULL JOIN (SELECT account_id, sum(amount_centavos) AS total FROM {_POSTINGS} AS each GROUP BY account_id) AS p
            ON p.account_id = a.id
        WHERE a.id IS NULL OR a.balance_centavos <> coalesce(p.total, 0)
    """,
    "pending-equals-reserved-sales": """
        SELECT coalesce(a.id, s.float_account_id) AS account_id, a.pending_centavos, s.total AS reserved_centavos FROM account AS a
        FULL JOIN (
            SELECT float_account_id, sum(paid_centavos) AS total FROM sale WHERE state = 'reserved' GROUP BY float_account_id
        ) AS s ON s.float_account_id = a.id
        WHERE a.id IS NULL OR a.pending_centavos <> coalesce(s.total, 0)
    """,
    "floats-are-not-oversold": """
        SELECT a.id AS account_id, a.credit_line_centavos, a.balance_centavos, a.pending_centavos
        FROM account AS a JOIN acquirer ON acquirer.float_account_id = a.id
        WHERE a.credit_line_centavos - a.balance_centavos - a.pending_centavos < 0
    """,
    "obligations-equal-postings": f"""
        SELECT coalesce(o.id, p.obligation_id) AS obligation_id, o.capital_centavos, p.capital AS capital_postings_centavos,
            o.interest_centavos, p.interest AS interest_postings_centavos
        FROM obligation AS o FULL JOIN (
            SELECT obligation_id, coalesce(sum(amount_centavos) FILTER (WHERE part = 'capital'), 0) AS capital,
                coalesce(sum(amount_centavos) FILTER (WHERE part = 'interest'), 0) AS interest
            FROM {_POSTINGS} AS each WHERE account_id IN {_OBLIGATION_CONTROLS} GROUP BY obligation_id
        ) AS p ON p.obligation_id = o.id
        WHERE o.id IS NULL OR o.capital_centavos <> coalesce(p.capital, 0) OR o.interest_centavos <> coalesce(p.interest, 0)
    """,
    "obligation-lines-stand-in-their-account": f"""
        SELECT p.entry_id, p.line, p.account_id, p.obligation_id FROM {_POSTINGS} AS p
        JOIN obligation AS o ON o.id = p.obligation_id
        WHERE p.account_id <> CASE WHEN p.part = 'interest' THEN {Account.OBLIGATION_INTEREST_RECEIVABLE.value}
            ELSE {_CONTROL_OF_CAPITAL} END OR p.part IS NULL
    """,
    "obligations-are-settled-when-paid": """
        SELECT id AS obligation_id, status, capital_centavos, interest_centavos FROM obligation
        WHERE (status = 'settled') AND capital_centavos + interest_centavos <> 0
    """,
    "remainders-equal-postings": f"""
        SELECT coalesce(m.id, p.meter_id) AS meter_id, m.remainder_centavos, p.total AS postings_centavos FROM meter AS m FULL JOIN (
            SELECT meter_id, -sum(amount_centavos) AS total FROM {_POSTINGS} AS each
            WHERE account_id = {Account.CUSTOMER_REMAINDERS.value} OR meter_id IS NOT NULL GROUP BY meter_id
        ) AS p ON p.meter_id = m.id
        WHERE m.id IS NULL OR m.remainder_centavos <> coalesce(p.total, 0)
    """,
    "held-meters-equal-reserved-sales": """
        SELECT m.id AS meter_id, m.held_by, s.id AS sale_id FROM (SELECT * FROM meter WHERE held_by IS NOT NULL) AS m
        FULL JOIN (SELECT * FROM sale WHERE state = 'reserved') AS s ON s.meter_id = m.id AND s.id = m.held_by
        WHERE m.id IS NULL OR s.id IS NULL
    """,
    "quotes-add-up": """
        SELECT id AS sale_id FROM sale, LATERAL (
            SELECT coalesce(sum((line ->> 2)::bigint), 0) AS total
            FROM jsonb_array_elements(coalesce(lines -> 't', '[]') || CASE WHEN lines ? 'v' THEN jsonb_build_array(lines -> 'v')
                ELSE '[]' END) AS line
        ) AS taken
        WHERE paid_centavos - claimed_centavos + carried_in_centavos <> taken.total + charged_centavos + carried_out_centavos
            OR charged_centavos + subsidy_centavos - contribution_centavos <> full_cost_centavos
    """,
    "posted-sales-have-entries": """
        SELECT coalesce(s.id, e.sale_id) AS sale_id, s.state, e.id AS entry_id FROM (SELECT * FROM sale WHERE state = 'posted') AS s
        FULL JOIN (SELECT * FROM entry WHERE kind = 'sale') AS e ON e.id = s.id AND e.sale_id = s.id
        WHERE s.id IS NULL OR e.id IS NULL
    """,
    "entries-post-what-was-sold": f"""
        SELECT s.id AS sale_id, s.paid_centavos, f.amount AS float_centavos, s.full_cost_centavos, f.revenue AS revenue_centavos
        FROM sale AS s LEFT JOIN LATERAL (
            SELECT coalesce(sum(p.amount_centavos) FILTER (WHERE p.account_id = s.float_account_id), 0) AS amount,
                coalesce(-sum(p.amount_centavos) FILTER (WHERE a.kind = 'revenue'), 0) AS revenue
            FROM posting AS p JOIN account AS a ON a.id = p.account_id WHERE p.entry_id = s.id AND p.posted_on = s.local_date
        ) AS f ON true
        WHERE s.state = 'posted' AND NOT {_is_archived("posting", "s.local_date")} AND (f.amount <> s.paid_centavos OR f.revenue <> s.full_cost_centavos)
    """,
    "sales-have-their-tokens": """
        SELECT coalesce(s.id, t.sale_id) AS sale_id, s.state, s.units_tenths, t.units AS token_units_tenths, t.minted AS tokens_minted
        FROM sale AS s FULL JOIN (
            SELECT sale_id, sum(units_tenths) AS units, count(*) AS ordered, count(digits) AS minted FROM token GROUP BY sale_id
        ) AS t ON t.sale_id = s.id
        WHERE s.id IS NULL OR coalesce(t.units, 0) <> s.units_tenths
            OR coalesce(t.minted, 0) <> CASE WHEN s.state = 'posted' THEN coalesce(t.ordered, 0) ELSE 0 END
    """,
    "tokens-are-of-their-sales-meter": """
        SELECT t.sale_id, t.position, t.meter_id FROM token AS t JOIN sale AS s ON s.id = t.sale_id WHERE t.meter_id <> s.meter_id
    """,
    "token-identifiers-are-unique": """
        SELECT meter_id, tid, count(*) AS times FROM token GROUP BY meter_id, tid HAVING count(*) > 1
    """,
    "token-digits-are-unique": """
        SELECT meter_id, min(sale_id) AS first_sale_id, max(sale_id) AS last_sale_id, count(*) AS times FROM token
        WHERE digits IS NOT NULL GROUP BY meter_id, digits HAVING count(*) > 1
    """,
    "meters-are-past-their-last-token": """
        SELECT m.id AS meter_id, m.last_tid, max(t.tid) AS tid FROM meter AS m JOIN token AS t ON t.meter_id = m.id
        JOIN sale AS s ON s.id = t.sale_id AND s.register_id = m.register_id
        GROUP BY m.id HAVING max(t.tid) > m.last_tid
    """,
    "key-changes-are-of-their-sales": """
        SELECT k.sale_id, s.state, k.to_register_id, s.register_id FROM sale_key_change AS k LEFT JOIN sale AS s ON s.id = k.sale_id
        WHERE s.id IS NULL OR (s.state = 'posted') <> (k.digits IS NOT NULL) OR s.meter_id <> k.meter_id
            OR s.register_id <> k.to_register_id OR s.tariff_index <> k.to_tariff_index
    """,
    "months-hold-what-was-sold": """
        SELECT m.id AS meter_id, m.month, m.month_to_date_tenths, sum(s.units_tenths) AS sold_tenths
        FROM meter AS m JOIN sale AS s ON s.meter_id = m.id AND s.state = 'posted'
            AND extract(year FROM s.local_date) * 100 + extract(month FROM s.local_date) = m.month
        GROUP BY m.id HAVING sum(s.units_tenths) > m.month_to_date_tenths
    """,
    "ended-sales-have-stored-answers": f"""
        SELECT s.id AS sale_id, s.state, j.code FROM sale AS s LEFT JOIN journal AS j ON {_JOURNAL_OF_SALE}
        WHERE NOT (j.sale_id IS NULL AND {_is_archived("journal", "s.transmitted_at AT TIME ZONE 'UTC'")}) AND (
            j.sale_id IS DISTINCT FROM s.id OR CASE s.state
            WHEN 'reserved' THEN j.answer IS NOT NULL OR j.code IS NOT NULL
            WHEN 'posted' THEN j.answer IS NULL OR j.code IS DISTINCT FROM 'approved'
            ELSE j.answer IS NULL OR j.code IS NULL OR j.code = 'approved' END)
    """,
    "journal-names-existing-sales": """
        SELECT j.transmitted_at, j.terminal_code, j.stan, j.code, j.sale_id FROM journal AS j LEFT JOIN sale AS s ON s.id = j.sale_id
        WHERE (j.sale_id IS NOT NULL AND s.id IS NULL) OR (j.answer IS NOT NULL AND j.code IS NULL)
            OR (j.code = 'approved' AND j.sale_id IS NULL AND j.reverses_sale_id IS NULL AND j.message_class NOT IN ('0220', '0400', '0420', '0500', '0520'))
    """,
    "posted-sales-are-in-the-outbox": """
        SELECT coalesce(s.id, o.sale_id) AS sale_id, o.times FROM (SELECT id FROM sale WHERE state = 'posted') AS s
        FULL JOIN (SELECT sale_id, count(*) AS times FROM outbox WHERE topic = 'sale.posted' GROUP BY sale_id) AS o ON o.sale_id = s.id
        WHERE s.id IS NULL OR o.times IS DISTINCT FROM 1
    """,
    "confirmations-name-posted-sales": """
        SELECT c.sale_id, s.state FROM confirmation AS c LEFT JOIN sale AS s ON s.id = c.sale_id WHERE s.state IS DISTINCT FROM 'posted'
    """,
    "reprints-name-posted-sales-of-their-terminal": """
        SELECT r.id AS reprint_id, r.sale_id, s.state FROM reprint AS r LEFT JOIN sale AS s ON s.id = r.sale_id
        WHERE s.state IS DISTINCT FROM 'posted' OR s.acquirer_code <> r.acquirer_code OR s.terminal_code <> r.terminal_code
    """,
    "closed-days-hold-what-was-sold": """
        SELECT coalesce(t.settlement_date, s.settlement_date) AS settlement_date, coalesce(t.acquirer_code, s.acquirer_code) AS acquirer_code,
            coalesce(t.terminal_code, s.terminal_code) AS terminal_code, coalesce(t.kind, s.kind) AS kind, t.sales, s.sold,
            t.paid_centavos, s.paid AS sold_centavos
        FROM day_total AS t FULL JOIN (
            SELECT s.settlement_date, s.acquirer_code, s.terminal_code, s.kind, count(*) AS sold, sum(s.paid_centavos) AS paid,
                sum(s.commission_centavos) AS commission, sum(s.commission_tax_centavos) AS tax
            FROM sale AS s JOIN closed_day AS c ON c.settlement_date = s.settlement_date AND c.acquirer_code = s.acquirer_code
            WHERE s.state <> 'void' GROUP BY s.settlement_date, s.acquirer_code, s.terminal_code, s.kind
            UNION ALL
            SELECT p.settlement_date, p.acquirer_code, p.terminal_code, 'reversal', count(*), sum(p.paid_centavos), sum(s.commission_centavos),
                sum(s.commission_tax_centavos)
            FROM parked_token AS p JOIN sale AS s ON s.id = p.sale_id
            JOIN closed_day AS c ON c.settlement_date = p.settlement_date AND c.acquirer_code = p.acquirer_code
            GROUP BY p.settlement_date, p.acquirer_code, p.terminal_code
        ) AS s ON s.settlement_date = t.settlement_date AND s.acquirer_code = t.acquirer_code AND s.terminal_code = t.terminal_code
            AND s.kind = t.kind
        WHERE t.sales IS DISTINCT FROM s.sold OR t.paid_centavos IS DISTINCT FROM s.paid
            OR t.commission_centavos IS DISTINCT FROM s.commission OR t.commission_tax_centavos IS DISTINCT FROM s.tax OR NOT EXISTS (
                SELECT 1 FROM closed_day AS c WHERE c.settlement_date = t.settlement_date AND c.acquirer_code = t.acquirer_code
            )
    """,
    "sales-stand-on-a-day-that-can-close": """
        SELECT s.id AS sale_id, s.acquirer_code, s.local_date, s.settlement_date FROM sale AS s LEFT JOIN (
            SELECT acquirer_code, min(settlement_date) AS first FROM closed_day GROUP BY acquirer_code
        ) AS c ON c.acquirer_code = s.acquirer_code
        WHERE s.settlement_date < s.local_date OR s.settlement_date <= c.first
    """,
    "parked-tokens-equal-their-account": f"""
        SELECT a.balance_centavos, p.total AS unclaimed_centavos FROM account AS a, (
            SELECT coalesce(sum(paid_centavos), 0) AS total FROM parked_token WHERE claimed_at IS NULL
        ) AS p WHERE a.id = {Account.PARKED_TOKENS.value} AND a.balance_centavos <> p.total
    """,
    "meters-know-their-parked-tokens": """
        SELECT coalesce(m.id, p.meter_id) AS meter_id, m.parked_tokens, p.times AS unclaimed
        FROM (SELECT id, parked_tokens FROM meter WHERE parked_tokens <> 0) AS m FULL JOIN (
            SELECT meter_id, count(*) AS times FROM parked_token WHERE claimed_by_sale_id IS NULL GROUP BY meter_id
        ) AS p ON p.meter_id = m.id WHERE m.parked_tokens IS DISTINCT FROM p.times
    """,
    "parked-tokens-are-of-posted-sales": """
        SELECT p.sale_id, s.state, p.meter_id, p.paid_centavos FROM parked_token AS p LEFT JOIN sale AS s ON s.id = p.sale_id
        WHERE s.state IS DISTINCT FROM 'posted' OR s.meter_id <> p.meter_id OR s.paid_centavos <> p.paid_centavos
            OR s.kind <> 'recharge' OR s.claimed_centavos <> 0
            OR (s.acquirer_code, s.terminal_code) <> (p.acquirer_code, p.terminal_code)
    """,
    "parkings-gave-back-what-was-paid": f"""
        SELECT coalesce(p.sale_id, e.sale_id) AS sale_id, e.entries, e.parked_centavos, e.float_centavos, p.paid_centavos
        FROM parked_token AS p FULL JOIN (
            SELECT entry.sale_id, count(DISTINCT entry.id) AS entries,
                coalesce(sum(l.amount_centavos) FILTER (WHERE l.account_id = {Account.PARKED_TOKENS.value}), 0) AS parked_centavos,
                coalesce(sum(l.amount_centavos) FILTER (WHERE l.account_id = s.float_account_id), 0) AS float_centavos,
                coalesce(sum(l.amount_centavos) FILTER (WHERE l.account_id = s.commission_account_id), 0) AS commission_centavos,
                max(s.commission_centavos + s.commission_tax_centavos) AS earned_centavos, bool_or({_is_archived("posting", "entry.local_date")}) AS is_archived
            FROM entry LEFT JOIN posting AS l ON l.entry_id = entry.id AND l.posted_on = entry.local_date
            LEFT JOIN sale AS s ON s.id = entry.sale_id
            WHERE entry.kind = 'parking' GROUP BY entry.sale_id
        ) AS e ON e.sale_id = p.sale_id
        WHERE p.sale_id IS NULL OR e.sale_id IS NULL OR e.entries <> 1 OR (NOT e.is_archived AND (e.parked_centavos <> p.paid_centavos
            OR e.float_centavos <> -p.paid_centavos OR e.commission_centavos IS DISTINCT FROM e.earned_centavos))
    """,
    "claims-are-paid-for": """
        SELECT coalesce(s.id, p.claimed_by_sale_id) AS sale_id, s.state, s.claimed_centavos, p.total AS parked_centavos, p.ended
        FROM (SELECT * FROM sale WHERE claimed_centavos <> 0 AND state <> 'void') AS s FULL JOIN (
            SELECT claimed_by_sale_id, min(meter_id) AS meter_id, max(meter_id) AS last_meter_id, sum(paid_centavos) AS total,
                count(*) AS times, count(claimed_at) AS ended, max(sale_id) AS newest_id
            FROM parked_token WHERE claimed_by_sale_id IS NOT NULL GROUP BY claimed_by_sale_id
        ) AS p ON p.claimed_by_sale_id = s.id
        WHERE s.id IS NULL OR p.claimed_by_sale_id IS NULL OR s.claimed_centavos <> p.total OR s.kind <> 'recharge'
            OR s.meter_id <> p.meter_id OR s.meter_id <> p.last_meter_id OR p.newest_id >= s.id
            OR p.ended <> CASE s.state WHEN 'posted' THEN p.times ELSE 0 END
    """,
    "claims-post-what-was-claimed": f"""
        SELECT s.id AS sale_id, s.claimed_centavos, l.total AS parked_centavos FROM sale AS s LEFT JOIN LATERAL (
            SELECT coalesce(-sum(p.amount_centavos), 0) AS total FROM posting AS p
            WHERE p.entry_id = s.id AND p.posted_on = s.local_date AND p.account_id = {Account.PARKED_TOKENS.value}
        ) AS l ON true WHERE s.state = 'posted' AND NOT {_is_archived("posting", "s.local_date")} AND s.claimed_centavos <> l.total
    """,
    "adjustments-are-signed-by-two": """
        SELECT id AS adjustment_id, state, proposed_by, decided_by FROM adjustment
        WHERE CASE state WHEN 'proposed' THEN decided_by IS NOT NULL ELSE decided_by IS NULL END
            OR lower(btrim(decided_by)) = lower(btrim(proposed_by)) OR btrim(evidence) = ''
    """,
    "approved-adjustments-have-their-entries": f"""
        SELECT a.id AS adjustment_id, a.kind, a.amount_centavos, a.entry_id, l.cost AS cost_centavos, l.given AS given_centavos
        FROM adjustment AS a LEFT JOIN entry AS e ON e.id = a.entry_id AND e.kind = 'adjustment' LEFT JOIN LATERAL (
            SELECT coalesce(sum(p.amount_centavos) FILTER (WHERE p.account_id = {Account.ADJUSTMENTS.value}), 0) AS cost,
                coalesce(-sum(p.amount_centavos) FILTER (WHERE CASE a.kind WHEN 'refund' THEN p.account_id = {Account.BANK.value}
                    ELSE p.account_id = {Account.CUSTOMER_REMAINDERS.value} AND p.meter_id = a.meter_id END), 0) AS given
            FROM posting AS p WHERE p.entry_id = e.id AND p.posted_on = e.local_date
        ) AS l ON true
        WHERE NOT {_is_archived("posting", "e.local_date")} AND a.state = 'approved' AND a.kind IN ('refund', 'credit')
            AND (e.id IS NULL OR l.cost <> a.amount_centavos OR l.given <> a.amount_centavos)
    """,
    "adjustment-entries-belong-to-one-approved-adjustment": """
        SELECT e.id AS entry_id, e.memo, count(a.id) AS adjustments FROM entry AS e
        LEFT JOIN adjustment AS a ON a.entry_id = e.id AND a.state = 'approved' WHERE e.kind = 'adjustment'
        GROUP BY e.id HAVING count(a.id) <> 1
    """,
    "adjustments-give-no-more-than-was-sold": """
        SELECT a.sale_id, s.state, s.paid_centavos, sum(a.amount_centavos) AS returned_centavos, s.units_tenths,
            sum(a.units_tenths) AS replaced_tenths
        FROM adjustment AS a LEFT JOIN sale AS s ON s.id = a.sale_id LEFT JOIN parked_token AS p ON p.sale_id = s.id
        WHERE a.sale_id IS NOT NULL AND a.state = 'approved' AND a.kind <> 'free_token'
        GROUP BY a.sale_id, s.id, p.sale_id
        HAVING s.state IS DISTINCT FROM 'posted' OR sum(a.amount_centavos) > s.paid_centavos OR sum(a.units_tenths) > s.units_tenths
            OR (p.sale_id IS NOT NULL AND sum(a.amount_centavos) > 0)
    """,
    "token-adjustments-have-their-tokens": """
        SELECT coalesce(a.id, t.adjustment_id) AS adjustment_id, a.units_tenths, t.units_tenths AS token_units_tenths
        FROM (SELECT * FROM adjustment WHERE state = 'approved' AND kind NOT IN ('refund', 'credit')) AS a
        FULL JOIN adjustment_token AS t ON t.adjustment_id = a.id
        WHERE a.id IS NULL OR t.adjustment_id IS NULL OR t.units_tenths <> a.units_tenths OR t.meter_id <> a.meter_id
    """,
    "adjustment-tokens-are-no-sales-tokens": """
        SELECT a.adjustment_id, a.meter_id, a.mint_id, t.sale_id FROM adjustment_token AS a
        JOIN token AS t ON t.sale_id = a.mint_id OR (t.meter_id = a.meter_id AND (t.tid = a.tid OR t.digits = a.digits))
    """,
    "meters-are-past-their-adjustment-tokens": """
        SELECT m.id AS meter_id, m.last_tid, max(t.tid) AS tid FROM meter AS m
        JOIN adjustment_token AS t ON t.meter_id = m.id AND t.register_id = m.register_id
        GROUP BY m.id HAVING max(t.tid) > m.last_tid
    """,
    **NETWORK_QUESTIONS,
}
