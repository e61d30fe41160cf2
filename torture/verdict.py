"""The verdict: what the terminals saw against the books, the security module and the meters. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

from torture.seen import BookedSale, Books, MeterEntry, RequestKey, Seen

APPROVED = "00"
SALE_STANDS = "21"
UNDONE = frozenset({APPROVED, "25"})
"""Answers to a reversal after which the sale must not be in the books: approved, or never seen and on record should it come."""

UNSTORED = frozenset({"77", "79", "90", "91", "92", "96"})
"""Refusals that depend on the moment: final for a first copy, never stored; the money must not have moved."""

ACCEPTED = "Accept"
USED = "UsedError"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is wrong, each with where; nothing anywhere is the only good verdict. No text holds a PIN.

    Attributes:
        lost: a terminal holds an approved answer whose sale, or whose very PIN, is not in the books.
        twice: a PIN that was sold twice, or a request that was sold twice.
        orphans: tokens without a posted sale, posted tokens that no module minted, posted sales without digits.
        unclaimed: posted sales whose terminal was told something else, or nothing.
        differing: answers that are not the journal's octets.
        unanswered: requests without a final answer when all was over.
        reserved: sales without an outcome when all was over.
        meters: PINs that their meter did not take exactly once.
        ledger: differences that the ledger's own check found.
    """

    lost: tuple[str, ...]
    twice: tuple[str, ...]
    orphans: tuple[str, ...]
    unclaimed: tuple[str, ...]
    differing: tuple[str, ...]
    unanswered: tuple[str, ...]
    reserved: tuple[str, ...]
    meters: tuple[str, ...]
    ledger: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return not any(getattr(self, each.name) for each in fields(self))

    def as_json(self) -> dict[str, list[str]]:
        """Return all of it by name."""
        return {each.name: list(getattr(self, each.name)) for each in fields(self)}


def judge(
    seen: Sequence[Seen], books: Books, entries: Iterable[MeterEntry], ledger_differences: Iterable[object]
) -> Verdict:
    """Compare.

    Args:
        seen: every request of every terminal.
        books: what is on disk.
        entries: PINs that were typed into meters.
        ledger_differences: what `ledger.check` found.
    """
    sales: dict[RequestKey, list[BookedSale]] = defaultdict(list)
    for sale in books.sales:
        sales[sale.key].append(sale)
    posted = {key: sale for key, all_of_it in sales.items() for sale in all_of_it if sale.state == "posted"}
    return Verdict(
        lost=tuple(_lost(seen, posted)),
        twice=tuple(_twice(seen, sales)),
        orphans=tuple(_orphans(books)),
        unclaimed=tuple(_unclaimed(seen, posted)),
        differing=tuple(_differing(seen, books)),
        unanswered=tuple(str(each.key) for each in seen if each.code is None and not _was_undone(each, seen)),
        reserved=tuple(f"sale {sale.sale_id}" for sale in books.sales if sale.state == "reserved"),
        meters=tuple(
            f"sale {entry.sale_id}, meter {entry.meter_number}: {entry.first}, then {entry.second}"
            for entry in entries
            if (entry.first, entry.second) != (ACCEPTED, USED)
        ),
        ledger=tuple(str(difference) for difference in ledger_differences),
    )


def _sales_shown(seen: Iterable[Seen]) -> Iterable[tuple[RequestKey, Seen]]:
    """Give each answer that says "sold", with the key of the sale that it is about."""
    for each in seen:
        if each.original is None and each.code == APPROVED:
            yield each.key, each
        elif each.original is not None and each.code == SALE_STANDS:
            yield each.original, each


def _lost(seen: Sequence[Seen], posted: Mapping[RequestKey, BookedSale]) -> Iterable[str]:
    for key, each in _sales_shown(seen):
        sale = posted.get(key)
        if sale is None:
            yield f"{each.key}: told {each.code}, not posted"
        elif each.pins != sale.digits:
            yield f"{each.key}: told other digits than sale {sale.sale_id} has"


def _twice(seen: Sequence[Seen], sales: Mapping[RequestKey, Sequence[BookedSale]]) -> Iterable[str]:
    for key, all_of_it in sales.items():
        posted = [sale.sale_id for sale in all_of_it if sale.state == "posted"]
        if len(posted) > 1:
            yield f"{key}: posted as {posted}"
    booked = Counter(digits for all_of_it in sales.values() for sale in all_of_it for digits in sale.digits if digits)
    yield from (f"a PIN stands {count} times in the books" for count in booked.values() if count > 1)
    holders: dict[str, set[RequestKey]] = defaultdict(set)
    for key, each in _sales_shown(seen):
        for pin in each.pins:
            holders[pin].add(key)
    yield from (f"a PIN was given to {', '.join(sorted(map(str, keys)))}" for keys in holders.values() if len(keys) > 1)


def _orphans(books: Books) -> Iterable[str]:
    posted = {sale.sale_id: sale for sale in books.sales if sale.state == "posted"}
    yield from (f"minted for {sale_id}, not posted" for sale_id in sorted(books.minted - posted.keys()))
    for sale_id, sale in posted.items():
        if sale.digits and sale_id not in books.minted:
            yield f"sale {sale_id}: posted, minted by no module"
        if None in sale.digits:
            yield f"sale {sale_id}: posted without digits"


def _unclaimed(seen: Sequence[Seen], posted: Mapping[RequestKey, BookedSale]) -> Iterable[str]:
    claimed = {key for key, _ in _sales_shown(seen)}
    told = {each.key: each.code for each in seen}
    undone = {each.original for each in seen if each.original is not None and each.code in UNDONE}
    for key, sale in posted.items():
        if key not in claimed:
            yield f"sale {sale.sale_id}, {key}: posted, its terminal was told {told.get(key)}"
        if key in undone:
            yield f"sale {sale.sale_id}, {key}: posted, its reversal was approved"


def _differing(seen: Sequence[Seen], books: Books) -> Iterable[str]:
    for each in seen:
        if each.other_answers:
            yield f"{each.key}: {each.other_answers} more answers with other octets"
        if each.code is None:
            continue
        stored = books.journal.get(each.key)
        if stored is None or stored.answer is None:
            if each.code not in UNSTORED:
                yield f"{each.key}: told {each.code}, no answer stored"
        elif stored.answer != each.answer and each.code not in UNSTORED:
            yield f"{each.key}: told {each.code}, the journal's octets of {stored.code} differ"


def _was_undone(sale: Seen, seen: Sequence[Seen]) -> bool:
    """Whether a sale without an answer was reversed, so that nobody waits for its answer any more."""
    if sale.original is not None:
        return False
    return any(each.original == sale.key and each.code in UNDONE for each in seen)
