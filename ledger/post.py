"""Commit 2: sales are posted or voided and answers are stored, a batch in one transaction; afterwards the answers may leave.

Who posts is decided by one conditional UPDATE of the sale's state: whoever comes second gets the answer of the first.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, TextClause, text

from ledger import arrays, journal
from ledger.claims import end_claims
from ledger.database import transact
from ledger.key_changes import post_statements
from ledger.meters import month_number
from ledger.notices import tell_outcomes
from ledger.rounds import together
from ledger.rules import PostingLine, sale_lines
from vending.commission import Commission
from vending.money import Centavos
from vending.order import AnswerRecord, Posted, Posting, RequestKey, SalePost, SaleVoid
from vending.quote import Quote
from vending.response_code import ResponseCode

POSTINGS_PER_BATCH_MAX = 1024
"""As for orders: one transaction must not make everybody wait."""

OUTBOX_TOPIC = "sale.posted"

# The state is a parameter so that the plan cannot turn to the small index of reserved sales: it looks cheap and is read whole, with
# everything that was reserved lately, for each sale of the batch.
_END_SALES = text("""
    UPDATE sale SET state = o.state, ended_at = now()
    FROM unnest(CAST(:ids AS bigint[]), CAST(:states AS text[])) AS o (id, state)
    WHERE sale.id = o.id AND sale.state = :reserved
    RETURNING sale.id, sale.float_account_id, sale.commission_account_id, sale.commission_centavos,
        sale.commission_tax_centavos
""")

_PAY_OBLIGATIONS = text("""
    UPDATE obligation SET capital_centavos = capital_centavos - o.capital, interest_centavos = interest_centavos - o.interest,
        full_centavos = full_centavos - o.full_cost,
        instalment_due_centavos = greatest(0, instalment_due_centavos - o.capital - o.interest),
        status = CASE WHEN capital_centavos + interest_centavos = o.capital + o.interest THEN 'settled' ELSE 'open' END
    FROM unnest(CAST(:meters AS bigint[]), CAST(:codes AS text[]), CAST(:capitals AS bigint[]), CAST(:interests AS bigint[]),
        CAST(:full_costs AS bigint[])) AS o (meter_id, code, capital, interest, full_cost)
    WHERE obligation.meter_id = o.meter_id AND obligation.code = o.code
    RETURNING obligation.meter_id, obligation.code, obligation.id
""")

# An answer goes to the row of its request, found by its key: no plan can be wrong about how. A row that was not there is one too many,
# and takes the transaction back.
_WRITE = text(f"""
    WITH released AS (
        UPDATE meter SET held_by = NULL, month = greatest(meter.month, o.month), remainder_centavos = remainder_centavos + o.carried,
            month_to_date_tenths = o.units + CASE WHEN meter.month >= o.month THEN month_to_date_tenths ELSE 0 END
        FROM unnest(CAST(:meters AS bigint[]), CAST(:ids AS bigint[]), CAST(:months AS bigint[]), CAST(:units AS bigint[]),
            CAST(:carried AS bigint[])) AS o (meter_id, sale_id, month, units, carried)
        WHERE meter.id = o.meter_id AND meter.held_by = o.sale_id
        RETURNING meter.id
    ), minted AS (
        UPDATE token SET digits = o.digits
        FROM unnest(CAST(:token_sales AS bigint[]), CAST(:token_positions AS bigint[]), CAST(:digits AS text[]))
            AS o (sale_id, position, digits)
        WHERE token.sale_id = o.sale_id AND token.position = o.position
    ), entries AS (
        INSERT INTO entry (id, kind, sale_id, posted_at, local_date)
        SELECT o.id, 'sale', o.id, now(), o.day FROM unnest(CAST(:posted AS bigint[]), CAST(:days AS date[])) AS o (id, day)
    ), lines AS (
        INSERT INTO posting (entry_id, line, posted_on, account_id, amount_centavos, meter_id, obligation_id, part)
        SELECT * FROM unnest(CAST(:line_entries AS bigint[]), CAST(:line_numbers AS smallint[]), CAST(:line_days AS date[]),
            CAST(:line_accounts AS bigint[]),
            CAST(:line_amounts AS bigint[]), CAST(:line_meters AS bigint[]), CAST(:line_obligations AS bigint[]),
            CAST(:line_parts AS text[]))
    ), leaving AS (
        INSERT INTO outbox (sale_id, topic, created_at)
        SELECT o.id, '{OUTBOX_TOPIC}', now() FROM unnest(CAST(:posted AS bigint[])) AS o (id)
    ), given AS (
        SELECT * FROM unnest({journal.KEY_ARRAYS}, CAST(:codes AS text[]), CAST(:answers AS bytea[]), CAST(:answer_sales AS bigint[]))
            WITH ORDINALITY AS o ({journal.KEY_COLUMNS}, code, answer, sale_id, position)
    ), answered AS (
        INSERT INTO journal AS j ({journal.KEY_COLUMNS}, digest, rrn, request, code, sale_id, answer, received_at, answered_at)
        SELECT {journal.KEY_COLUMNS}, '', '', '', code, sale_id, answer, '-infinity', now() FROM given
        ON CONFLICT ({journal.KEY_COLUMNS}) DO UPDATE SET code = excluded.code, answer = excluded.answer, answered_at = now()
        WHERE j.answer IS NULL AND j.sale_id IS NOT DISTINCT FROM excluded.sale_id
        RETURNING {journal.KEY_COLUMNS}, received_at
    )
    SELECT array(SELECT given.position FROM given JOIN answered USING ({journal.KEY_COLUMNS})), (SELECT count(*) FROM released),
        EXISTS (SELECT FROM answered WHERE received_at = '-infinity')
""")  # noqa: S608 - constants only

# Given in ascending order and looked up one by one, so that they are locked in ascending order.
_MOVE_ACCOUNTS = text("""
    UPDATE account SET balance_centavos = balance_centavos + o.amount, pending_centavos = pending_centavos - o.released
    FROM unnest(CAST(:ids AS bigint[]), CAST(:amounts AS bigint[]), CAST(:released AS bigint[])) AS o (id, amount, released)
    WHERE account.id = o.id
""")

_READ_ANSWERS = text(f"""
    SELECT o.position, j.code, j.answer
    FROM unnest({journal.KEY_ARRAYS}) WITH ORDINALITY AS o ({journal.KEY_COLUMNS}, position) JOIN {journal.row_of_key("code, answer")}
""")  # noqa: S608 - constants only


_NOW = text("SELECT now()")


class _End(NamedTuple):
    """A sale that this batch ended, with the accounts that its row names."""

    posting: SalePost | SaleVoid
    float_account_id: int
    lines: list[PostingLine]
    """Empty for a void."""


def post(engine: Engine, postings: Sequence[Posting]) -> list[Posted]:
    """Post, void and store answers; afterwards all of it is durable. Results stand in the order of *postings*.

    Posting is idempotent: a sale that was ended before, by whomever, is left as it is and its stored answer comes back.

    Args:
        engine: the ledger.
        postings: at most `POSTINGS_PER_BATCH_MAX`. An `AnswerRecord` is for a request that `reserve` declined or that
            `find_originals` journaled; its answer is kept only if none is stored yet.

    Raises:
        LedgerUnavailable: nothing was written.
        LedgerOutcomeUnknown: post the same again.
        LookupError: a posting names a request that is not in the journal, or whose sale is still open; a bug of the caller.
    """
    assert len(postings) <= POSTINGS_PER_BATCH_MAX, "a batch is bounded"
    if not postings:
        return []
    return transact(engine, lambda connection, _attempt: _post(connection, postings))


def _post(connection: Connection, postings: Sequence[Posting]) -> list[Posted]:
    ends = _end_sales(connection, postings)
    answered = _write(connection, list(ends.values()), _winners(postings, ends))
    told = [(sale_id, _code_of(end.posting)) for sale_id, end in ends.items() if end.posting.is_told]
    if told:
        tell_outcomes(connection, told, connection.scalar(_NOW))
    results = {
        position: Posted(answer=postings[position].answer, code=_code_of(postings[position])) for position in answered
    }
    missing = [position for position in range(len(postings)) if position not in results]
    if missing:
        results |= _stored_answers(connection, postings, missing)
    return [results[position] for position in range(len(postings))]


def _winners(postings: Sequence[Posting], ends: dict[int, _End]) -> dict[int, Posting]:
    """Return by their places those whose answer may be the one that is stored: one for each request, the end of its sale before others."""
    by_key: dict[RequestKey, tuple[int, Posting]] = {}
    for position, posting in enumerate(postings):
        if isinstance(posting, AnswerRecord):
            by_key.setdefault(posting.key, (position, posting))
        elif (end := ends.get(posting.sale.sale_id)) is not None and end.posting is posting:
            by_key[posting.sale.key] = (position, posting)
    return dict(by_key.values())


def _end_sales(connection: Connection, postings: Sequence[Posting]) -> dict[int, _End]:
    """Take those sales that are still reserved; of two postings of one sale in the batch the first counts."""
    first: dict[int, SalePost | SaleVoid] = {}
    for posting in postings:
        if not isinstance(posting, AnswerRecord):
            first.setdefault(posting.sale.sale_id, posting)
    if not first:
        return {}
    ids = sorted(first)
    states = ["posted" if isinstance(first[sale_id], SalePost) else "void" for sale_id in ids]
    (ended,) = together(
        connection, (_END_SALES, {"ids": arrays.ints(ids), "states": arrays.texts(states), "reserved": "reserved"})
    )
    ends = {row[0]: _End(first[row[0]], row[1], _lines_of(first[row[0]], *row[1:])) for row in ended.rows}
    # Meters are released in ascending order, as they are locked everywhere.
    return dict(sorted(ends.items(), key=lambda item: item[1].posting.sale.meter.meter_id))


def _write(connection: Connection, ends: list[_End], winners: dict[int, Posting]) -> list[int]:
    """Write everything, the accounts last, because they are everybody's; return the positions whose answer was stored."""
    if not winners:
        return []
    posts = [end for end in ends if isinstance(end.posting, SalePost)]
    obligation_ids = _pay_obligations(connection, posts)
    positions = list(winners)
    answers = list(winners.values())
    values = {
        **_meter_columns(ends),
        **_token_columns(posts),
        **_line_columns(posts, obligation_ids),
        **journal.key_arrays([_key_of(answer) for answer in answers]),
        "codes": arrays.texts([_code_of(answer).value for answer in answers]),
        "answers": arrays.octets([answer.answer for answer in answers]),
        "answer_sales": arrays.ints(
            [None if isinstance(answer, AnswerRecord) else answer.sale.sale_id for answer in answers]
        ),
        "posted": arrays.ints([end.posting.sale.sale_id for end in posts]),
        "days": arrays.times([end.posting.sale.local_date for end in posts]),
    }
    claims = end_claims(
        [end.posting.sale for end in posts], [end.posting.sale for end in ends if isinstance(end.posting, SaleVoid)]
    )
    claims += post_statements([end.posting.sale for end in posts])
    account_ids = _accounts_moved(ends)
    moves = [_move_accounts(ends, account_ids)] if ends else []
    written, *others = together(connection, (_WRITE, values), *claims, *moves)
    stored, released, is_unknown = written.rows[0]
    if is_unknown:
        raise LookupError("a posting names a request that is not in the journal")
    assert released == len(ends), "a reserved sale holds its meter"
    for each in others[len(claims) :]:
        assert each.rowcount == len(account_ids), "every account of a posting exists"
    return [positions[position - 1] for position in stored]


def _meter_columns(ends: list[_End]) -> dict[str, str]:
    months, units, carried = [], [], []
    for end in ends:
        quote = end.posting.sale.quote
        is_post = isinstance(end.posting, SalePost)
        months.append(month_number(end.posting.sale.local_date) if is_post and quote.units_tenths else 0)
        units.append(quote.units_tenths if is_post else 0)
        carried.append(quote.carried_out_centavos - quote.carried_in_centavos if is_post else 0)
    return {
        "meters": arrays.ints([end.posting.sale.meter.meter_id for end in ends]),
        "ids": arrays.ints([end.posting.sale.sale_id for end in ends]),
        "months": arrays.ints(months),
        "units": arrays.ints(units),
        "carried": arrays.ints(carried),
    }


def _token_columns(posts: list[_End]) -> dict[str, str]:
    tokens = []
    for end in posts:
        posting = end.posting
        assert isinstance(posting, SalePost)
        assert len(posting.tokens) == len(posting.sale.token_orders), "every token that was ordered is posted"
        tokens += [(posting.sale.sale_id, position, token.reveal()) for position, token in enumerate(posting.tokens)]
    return {
        "token_sales": arrays.ints([token[0] for token in tokens]),
        "token_positions": arrays.ints([token[1] for token in tokens]),
        "digits": arrays.texts([token[2] for token in tokens]),
    }


def _lines_of(
    posting: SalePost | SaleVoid, float_account_id: int, commission_account_id: int, *commission: Centavos
) -> list[PostingLine]:
    if isinstance(posting, SaleVoid):
        return []
    return sale_lines(
        posting.sale.quote,
        posting.sale.meter.service,
        float_account_id=float_account_id,
        commission_account_id=commission_account_id,
        commission=Commission(*commission),
        claimed_centavos=posting.sale.claimed_centavos,
    )


def _line_columns(posts: list[_End], obligation_ids: dict[tuple[int, str], int]) -> dict[str, str]:
    entries, numbers, days, accounts, amounts = [], [], [], [], []
    meters: list[int | None] = []
    obligations: list[int | None] = []
    parts: list[str | None] = []
    for end in posts:
        sale = end.posting.sale
        meter_id = sale.meter.meter_id
        for number, line in enumerate(end.lines, 1):
            entries.append(sale.sale_id)
            numbers.append(number)
            days.append(sale.local_date)
            accounts.append(line.account_id)
            amounts.append(line.amount_centavos)
            meters.append(meter_id if line.is_remainder else None)
            obligations.append(None if line.obligation is None else obligation_ids[meter_id, line.obligation])
            parts.append(line.part)
    return {
        "line_entries": arrays.ints(entries),
        "line_numbers": arrays.ints(numbers),
        "line_days": arrays.times(days),
        "line_accounts": arrays.ints(accounts),
        "line_amounts": arrays.ints(amounts),
        "line_meters": arrays.ints(meters),
        "line_obligations": arrays.ints(obligations),
        "line_parts": arrays.texts(parts),
    }


def _pay_obligations(connection: Connection, posts: list[_End]) -> dict[tuple[int, str], int]:
    """Take what the sales took from each obligation; return the obligations' ids by meter and code."""
    paid: dict[tuple[int, str], list[int]] = {}
    for end in posts:
        for taken in _taken(end.posting.sale.quote):
            sums = paid.setdefault((end.posting.sale.meter.meter_id, taken.id), [0, 0, 0])
            sums[0] += taken.amount_centavos - taken.interest_centavos
            sums[1] += taken.interest_centavos
            # A charge's full cost shrinks by the part of it that was paid; the other kinds have none.
            sums[2] += taken.amount_centavos + taken.subsidy_centavos if taken.kind == "charge" else 0
    if not paid:
        return {}
    keys = sorted(paid)
    values = {
        "meters": arrays.ints([key[0] for key in keys]),
        "codes": arrays.texts([key[1] for key in keys]),
        "capitals": arrays.ints([paid[key][0] for key in keys]),
        "interests": arrays.ints([paid[key][1] for key in keys]),
        "full_costs": arrays.ints([paid[key][2] for key in keys]),
    }
    (taken_from,) = together(connection, (_PAY_OBLIGATIONS, values))
    return {(row[0], row[1]): row[2] for row in taken_from.rows}


def _taken(quote: Quote) -> Sequence[Any]:
    return quote.taken if quote.voluntary is None else (*quote.taken, quote.voluntary)


def _accounts_moved(ends: list[_End]) -> list[int]:
    """Return the accounts that these sales touch, ascending, as they are locked everywhere."""
    lines = {line.account_id for end in ends for line in end.lines}
    return sorted(lines | {end.float_account_id for end in ends})


def _move_accounts(ends: list[_End], ids: list[int]) -> tuple[TextClause, dict[str, str]]:
    """Return the statement that moves the balances of *ids* and gives the floats' reservations back."""
    amounts: dict[int, int] = {}
    released: dict[int, int] = {}
    for end in ends:
        paid = end.posting.sale.paid_centavos
        released[end.float_account_id] = released.get(end.float_account_id, 0) + paid
        for line in end.lines:
            amounts[line.account_id] = amounts.get(line.account_id, 0) + line.amount_centavos
    return _MOVE_ACCOUNTS, {
        "ids": arrays.ints(ids),
        "amounts": arrays.ints([amounts.get(account_id, 0) for account_id in ids]),
        "released": arrays.ints([released.get(account_id, 0) for account_id in ids]),
    }


def _stored_answers(connection: Connection, postings: Sequence[Posting], missing: list[int]) -> dict[int, Posted]:
    rows = connection.execute(_READ_ANSWERS, journal.key_arrays([_key_of(postings[position]) for position in missing]))
    stored = {
        missing[row.position - 1]: Posted(answer=bytes(row.answer), code=journal.code_named(row.code))
        for row in rows
        if row.answer is not None
    }
    unknown = [position for position in missing if position not in stored]
    if unknown:
        raise LookupError(f"{len(unknown)} postings name requests that are not in the journal or not ended")
    return stored


def _key_of(posting: Posting) -> RequestKey:
    return posting.key if isinstance(posting, AnswerRecord) else posting.sale.key


def _code_of(posting: Posting) -> ResponseCode:
    return ResponseCode.APPROVED if isinstance(posting, SalePost) else posting.code
