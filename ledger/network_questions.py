"""The questions of the proof about the money of networks: commissions, their tax, deposits, settlement files. See `ledger.check_questions`."""

# ruff: noqa: S608 - constants only, nothing from outside reaches these texts

from ledger.chart import Account

NETWORK_QUESTIONS: dict[str, str] = {
    "commissions-follow-the-terms": """
        SELECT s.id AS sale_id, s.acquirer_code, s.paid_centavos, s.commission_centavos, earned.centavos AS earned_centavos,
            s.commission_tax_centavos
        FROM sale AS s JOIN acquirer AS a ON a.code = s.acquirer_code LEFT JOIN LATERAL (
            SELECT * FROM commission_terms AS t
            WHERE t.acquirer_id = a.id AND t.valid_from <= s.settlement_date AND t.from_paid_centavos <= s.paid_centavos
            ORDER BY t.valid_from DESC, t.from_paid_centavos DESC LIMIT 1
        ) AS t ON true, LATERAL (
            SELECT least(s.paid_centavos, coalesce(s.paid_centavos * t.share_basis_points / 10000 + t.fixed_centavos, 0)) AS centavos
        ) AS earned
        WHERE s.commission_centavos <> earned.centavos
            OR s.commission_tax_centavos <> earned.centavos * coalesce(t.tax_basis_points, 0) / 10000
    """,
    "commissions-are-posted-with-their-tax": f"""
        SELECT s.id AS sale_id, s.commission_centavos, l.cost AS cost_centavos, s.commission_tax_centavos, l.tax AS tax_centavos,
            l.earned AS earned_centavos
        FROM sale AS s JOIN (
            SELECT p.entry_id, sum(p.amount_centavos) FILTER (WHERE p.account_id = {Account.COMMISSION_COST.value}) AS cost,
                sum(p.amount_centavos) FILTER (WHERE p.account_id = {Account.COMMISSION_TAX.value}) AS tax,
                -sum(p.amount_centavos) FILTER (WHERE p.account_id = a.commission_account_id) AS earned
            FROM posting AS p LEFT JOIN acquirer AS a ON a.commission_account_id = p.account_id GROUP BY p.entry_id
        ) AS l ON l.entry_id = s.id
        WHERE s.state = 'posted' AND (s.commission_centavos <> coalesce(l.cost, 0) OR s.commission_tax_centavos <> coalesce(l.tax, 0)
            OR s.commission_centavos + s.commission_tax_centavos <> coalesce(l.earned, 0))
    """,
    "deposits-are-signed-by-two": """
        SELECT id AS deposit_id, state, registered_by, decided_by FROM deposit
        WHERE CASE state WHEN 'registered' THEN decided_by IS NOT NULL ELSE decided_by IS NULL END
            OR lower(btrim(decided_by)) = lower(btrim(registered_by)) OR btrim(evidence) = ''
    """,
    "confirmed-deposits-have-their-entries": f"""
        SELECT d.id AS deposit_id, d.amount_centavos, d.entry_id, l.bank AS bank_centavos, l.float AS float_centavos
        FROM deposit AS d JOIN acquirer AS a ON a.id = d.acquirer_id LEFT JOIN entry AS e ON e.id = d.entry_id AND e.kind = 'deposit'
        LEFT JOIN LATERAL (
            SELECT coalesce(sum(p.amount_centavos) FILTER (WHERE p.account_id = {Account.BANK.value}), 0) AS bank,
                coalesce(-sum(p.amount_centavos) FILTER (WHERE p.account_id = a.float_account_id), 0) AS float
            FROM posting AS p WHERE p.entry_id = e.id AND p.posted_on = e.local_date
        ) AS l ON true
        WHERE d.state = 'confirmed' AND (e.id IS NULL OR (
            (l.bank <> d.amount_centavos OR l.float <> d.amount_centavos) AND NOT EXISTS (
                SELECT 1 FROM archived_month AS m WHERE m.table_name = 'posting' AND m.month = date_trunc('month', e.local_date)
            )
        ))
    """,
    "deposits-are-booked-once": """
        SELECT entry_id, count(*) AS deposits FROM deposit WHERE entry_id IS NOT NULL GROUP BY entry_id HAVING count(*) > 1
    """,
    "deposits-take-back-no-more-than-came": """
        SELECT d.id AS deposit_id, d.amount_centavos, sum(c.amount_centavos) AS corrections_centavos
        FROM deposit AS d JOIN deposit AS c ON c.corrects_deposit_id = d.id AND c.state = 'confirmed'
        GROUP BY d.id HAVING d.amount_centavos + sum(c.amount_centavos) < 0 OR d.state <> 'confirmed' OR d.corrects_deposit_id IS NOT NULL
    """,
    "settlement-files-hold-the-day": """
        SELECT f.acquirer_code, f.settlement_date, f.sale_lines, f.reversal_lines, f.net_centavos, t.sales, t.reversals, t.net AS total_centavos
        FROM settlement_file AS f LEFT JOIN LATERAL (
            SELECT coalesce(sum(sales) FILTER (WHERE kind <> 'reversal'), 0) AS sales,
                coalesce(sum(sales) FILTER (WHERE kind = 'reversal'), 0) AS reversals,
                coalesce(sum((paid_centavos - commission_centavos - commission_tax_centavos)
                    * CASE kind WHEN 'reversal' THEN -1 ELSE 1 END), 0) AS net
            FROM day_total AS d WHERE d.settlement_date = f.settlement_date AND d.acquirer_code = f.acquirer_code
        ) AS t ON true
        WHERE f.sale_lines <> t.sales OR f.reversal_lines <> t.reversals OR f.net_centavos <> t.net OR NOT EXISTS (
            SELECT 1 FROM closed_day AS c WHERE c.settlement_date = f.settlement_date AND c.acquirer_code = f.acquirer_code
        )
    """,
    "settlement-runs-count-their-differences": """
        SELECT r.id AS run_id, r.their_lines, r.our_lines, r.matched, d.theirs AS their_differences, d.ours AS our_differences
        FROM settlement_run AS r LEFT JOIN LATERAL (
            SELECT count(*) FILTER (WHERE kind <> 'ours_only') AS theirs,
                count(*) FILTER (WHERE kind IN ('ours_only', 'amounts_differ')) AS ours
            FROM settlement_difference WHERE run_id = r.id
        ) AS d ON true
        WHERE r.matched + d.theirs <> r.their_lines OR r.matched + d.ours <> r.our_lines
    """,
}
