"""The questions of the proof: each asks for rows that should not exist, by name. Add one here and a planted error in its test."""

# ruff: noqa: S608 - constants only, nothing from outside reaches these texts

from ledger.chart import Account

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

QUESTIONS: dict[str, str] = {
    "entries-sum-to-zero": """
        SELECT entry_id, sum(amount_centavos) AS sum_centavos FROM posting GROUP BY entry_id HAVING sum(amount_centavos) <> 0
    """,
    "entries-have-postings": """
        SELECT coalesce(e.id, p.entry_id) AS entry_id FROM entry AS e
        FULL JOIN (SELECT DISTINCT entry_id FROM posting) AS p ON p.entry_id = e.id WHERE e.id IS NULL OR p.entry_id IS NULL
    """,
    "balances-equal-postings": """
        SELECT coalesce(a.id, p.account_id) AS account_id, a.balance_centavos, p.total AS postings_centavos FROM account AS a
        FULL JOIN (SELECT account_id, sum(amount_centavos) AS total FROM posting GROUP BY account_id) AS p ON p.account_id = a.id
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
            FROM posting WHERE account_id IN {_OBLIGATION_CONTROLS} GROUP BY obligation_id
        ) AS p ON p.obligation_id = o.id
        WHERE o.id IS NULL OR o.capital_centavos <> coalesce(p.capital, 0) OR o.interest_centavos <> coalesce(p.interest, 0)
    """,
    "obligation-lines-stand-in-their-account": f"""
        SELECT p.entry_id, p.line, p.account_id, p.obligation_id FROM posting AS p JOIN obligation AS o ON o.id = p.obligation_id
        WHERE p.account_id <> CASE WHEN p.part = 'interest' THEN {Account.OBLIGATION_INTEREST_RECEIVABLE.value}
            ELSE {_CONTROL_OF_CAPITAL} END OR p.part IS NULL
    """,
    "obligations-are-settled-when-paid": """
        SELECT id AS obligation_id, status, capital_centavos, interest_centavos FROM obligation
        WHERE (status = 'settled') AND capital_centavos + interest_centavos <> 0
    """,
    "remainders-equal-postings": f"""
        SELECT coalesce(m.id, p.meter_id) AS meter_id, m.remainder_centavos, p.total AS postings_centavos FROM meter AS m FULL JOIN (
            SELECT meter_id, -sum(amount_centavos) AS total FROM posting
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
        WHERE paid_centavos + carried_in_centavos <> taken.total + charged_centavos + carried_out_centavos
            OR charged_centavos + subsidy_centavos - contribution_centavos <> full_cost_centavos
    """,
    "posted-sales-have-entries": """
        SELECT coalesce(s.id, e.sale_id) AS sale_id, s.state, e.id AS entry_id FROM (SELECT * FROM sale WHERE state = 'posted') AS s
        FULL JOIN (SELECT * FROM entry WHERE kind = 'sale') AS e ON e.id = s.id AND e.sale_id = s.id
        WHERE s.id IS NULL OR e.id IS NULL
    """,
    "entries-post-what-was-sold": """
        SELECT s.id AS sale_id, s.paid_centavos, f.amount AS float_centavos, s.full_cost_centavos, f.revenue AS revenue_centavos
        FROM sale AS s LEFT JOIN LATERAL (
            SELECT coalesce(sum(p.amount_centavos) FILTER (WHERE p.account_id = s.float_account_id), 0) AS amount,
                coalesce(-sum(p.amount_centavos) FILTER (WHERE a.kind = 'revenue'), 0) AS revenue
            FROM posting AS p JOIN account AS a ON a.id = p.account_id WHERE p.entry_id = s.id
        ) AS f ON true
        WHERE s.state = 'posted' AND (f.amount <> s.paid_centavos OR f.revenue <> s.full_cost_centavos)
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
    "months-hold-what-was-sold": """
        SELECT m.id AS meter_id, m.month, m.month_to_date_tenths, sum(s.units_tenths) AS sold_tenths
        FROM meter AS m JOIN sale AS s ON s.meter_id = m.id AND s.state = 'posted'
            AND extract(year FROM s.local_date) * 100 + extract(month FROM s.local_date) = m.month
        GROUP BY m.id HAVING sum(s.units_tenths) > m.month_to_date_tenths
    """,
    "ended-sales-have-stored-answers": f"""
        SELECT s.id AS sale_id, s.state, j.code FROM sale AS s LEFT JOIN journal AS j ON {_JOURNAL_OF_SALE}
        WHERE j.sale_id IS DISTINCT FROM s.id OR CASE s.state
            WHEN 'reserved' THEN j.answer IS NOT NULL OR j.code IS NOT NULL
            WHEN 'posted' THEN j.answer IS NULL OR j.code IS DISTINCT FROM 'approved'
            ELSE j.answer IS NULL OR j.code IS NULL OR j.code = 'approved' END
    """,
    "journal-names-existing-sales": """
        SELECT j.transmitted_at, j.terminal_code, j.stan, j.code, j.sale_id FROM journal AS j LEFT JOIN sale AS s ON s.id = j.sale_id
        WHERE (j.sale_id IS NOT NULL AND s.id IS NULL) OR (j.answer IS NOT NULL AND j.code IS NULL)
            OR (j.code = 'approved' AND j.sale_id IS NULL AND j.reverses_sale_id IS NULL AND j.message_class <> '0400')
    """,
    "posted-sales-are-in-the-outbox": """
        SELECT coalesce(s.id, o.sale_id) AS sale_id, o.times FROM (SELECT id FROM sale WHERE state = 'posted') AS s
        FULL JOIN (SELECT sale_id, count(*) AS times FROM outbox WHERE topic = 'sale.posted' GROUP BY sale_id) AS o ON o.sale_id = s.id
        WHERE s.id IS NULL OR o.times IS DISTINCT FROM 1
    """,
}
