"""What must hold when a run is over, whatever went wrong meanwhile: DESIGN section 8, asked of terminals, ledger and module together."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, text

from acquirers.iso1987_requests import digest
from ledger.check import check
from messages.iso_message import IsoMessage
from tests.simulation import town
from tests.simulation.module import SimulatedModule
from tests.simulation.setting import OF_THE_MOMENT, Key, Setting
from tests.simulation.terminal import Ended

APPROVED, SALE_STANDS, NOT_FOUND, CONFLICT = "00", "21", "25", "94"

_JOURNAL = text("""
    SELECT j.terminal_code, to_char(j.transmitted_at, 'MMDDHH24MISS') AS sent, j.stan, j.message_class, j.digest, j.code, j.answer,
        j.sale_id, s.state, s.paid_centavos, coalesce((SELECT string_agg(t.digits, '' ORDER BY t.position) FROM token AS t
        WHERE t.sale_id = j.sale_id), '') AS digits
    FROM journal AS j LEFT JOIN sale AS s ON s.id = j.sale_id
""")
_SALES = text("SELECT id, state, kind, paid_centavos, terminal_code, stan FROM sale")
_DIGITS = text("SELECT digits FROM token WHERE digits IS NOT NULL")
_FLOAT = text("SELECT balance_centavos, pending_centavos FROM account WHERE code = :code")


@dataclass(slots=True)
class Found:
    """Figures of a run that ended well.

    ``sold_after_refusal``: sales whose terminal was told that nothing was taken, because the line brought a second copy to another process.
    """

    posted: int = 0
    void: int = 0
    sold_after_refusal: int = 0
    ended: Counter[str] | None = None


def key_of(request: IsoMessage) -> Key:
    """Return the journal's key of a request."""
    return request.text(41).rstrip(), request.text(7), request.text(11), request.message_class


class Proof:
    """Compares everything; what does not fit becomes a violation of the setting."""

    def __init__(self, engine: Engine, module: SimulatedModule, setting: Setting, *, deposit_centavos: int) -> None:
        self._module = module
        self._setting = setting
        self._deposit = deposit_centavos
        self.found = Found(ended=Counter())
        with engine.connect() as connection:
            rows = connection.execute(_JOURNAL).all()
            self._sales = connection.execute(_SALES).all()
            self._digits = Counter(connection.scalars(_DIGITS).all())
            self._float = connection.execute(_FLOAT, {"code": f"float:{town.ACQUIRER}"}).one()
        self._journal: dict[Key, Any] = {}
        for row in rows:
            key = (row.terminal_code, row.sent, row.stan, row.message_class)
            if key in self._journal:
                self._fail(f"two journal rows under {key}")
            self._journal[key] = row
        for difference in check(engine, module.counters()).differences:
            self._fail(f"ledger check: {difference}")

    def _fail(self, what: str) -> None:
        self._setting.violation(what)

    def run(self, ended: Iterable[Ended]) -> Found:
        """Check all."""
        told = list(ended)
        for each in told:
            assert self.found.ended is not None
            self.found.ended[f"{each.request.mti} {each.answer.text(39)}"] += 1
            self._check_answer(each)
        self._check_sales(told)
        self._check_module()
        self._check_float()
        return self.found

    def _check_answer(self, each: Ended) -> None:
        """The journal knows the answer, byte for byte, or nothing was taken."""
        key, code = key_of(each.request), each.answer.text(39)
        row = self._journal.get(key)
        if code in OF_THE_MOMENT:
            if not each.is_first_copy:
                self._fail(f"{key}: a repeat got {code}")
            if row is not None and row.state == "posted":
                self._check_sold_after_refusal(key, code, each)
            return
        if row is None:
            self._fail(f"{key}: answered {code} and not in the journal")
            return
        if code == CONFLICT:
            if bytes(row.digest) == digest(each.request):
                self._fail(f"{key}: refused as a conflict and the journal has the same content")
            return
        if row.answer is None or bytes(row.answer) != each.octets:
            self._fail(f"{key}: the terminal was told {code}, the journal has code {row.code} and another answer")
        if each.original is not None:
            self._check_reversal(key, code, each)
        elif code == APPROVED and (row.state != "posted" or row.digits != each.answer.fields.get(62, "")):
            self._fail(f"{key}: approved, and its sale is {row.state} or has other digits")

    def _check_sold_after_refusal(self, key: Key, code: str, each: Ended) -> None:
        """Only a copy that the line brought to another process may have been sold: each process remembers what it refused."""
        seller = self._setting.reserved_by[key]
        if not each.was_copied or seller in self._setting.refused_by[key]:
            self._fail(f"{key}: told {code}, and sold by {seller}")
        self.found.sold_after_refusal += 1

    def _check_reversal(self, key: Key, code: str, each: Ended) -> None:
        assert each.original is not None
        original = self._journal.get(key_of(each.original))
        if original is not None and bytes(original.digest) not in (b"", digest(each.original)):
            return  # another terminal with the same id was first under that key
        is_posted = original is not None and original.state == "posted"
        if code in (APPROVED, NOT_FOUND) and is_posted:
            self._fail(f"{key}: reversal answered {code}, and the original is sold")
        if code == SALE_STANDS and (original is None or original.digits != each.answer.fields.get(62, "")):
            self._fail(f"{key}: reversal answered with other digits than were sold")

    def _check_sales(self, told: list[Ended]) -> None:
        known = {key_of(each.request) for each in told if each.answer.text(39) == APPROVED and each.original is None}
        refused = {key_of(each.request) for each in told if each.answer.text(39) in OF_THE_MOMENT and each.was_copied}
        for sale in self._sales:
            if sale.state == "reserved":
                self._fail(f"sale {sale.id} is still reserved")
        posted_keys = Counter(key for key, row in self._journal.items() if row.state == "posted")
        posted_ids = [row.sale_id for row in self._journal.values() if row.state == "posted"]
        if sorted(posted_ids) != sorted(sale.id for sale in self._sales if sale.state == "posted"):
            self._fail("the posted sales are not those of the journal, each once")
        for key in posted_keys:
            if key not in known and key not in refused:
                self._fail(f"{key}: sold, and no terminal knows it")
        for digits, times in self._digits.items():
            if times > 1:
                self._fail(f"a PIN ending in {digits[-4:]} was sold {times} times")
        states = Counter(sale.state for sale in self._sales)
        self.found.posted, self.found.void = states["posted"], states["void"]

    def _check_module(self) -> None:
        """No token without a sale, no sale without its token."""
        sold: Mapping[int, str] = {
            row.sale_id: row.digits for row in self._journal.values() if row.state == "posted" and row.digits
        }
        for sale_id, digits in self._module.minted.items():
            if sold.get(sale_id) != "".join(digits):
                self._fail(f"minted under {sale_id}, and the ledger does not have these digits")
        for sale in self._sales:
            if sale.state == "posted" and sale.kind == "recharge" and sale.id not in self._module.minted:
                self._fail(f"sale {sale.id} is posted and was never minted")

    def _check_float(self) -> None:
        paid = sum(sale.paid_centavos for sale in self._sales if sale.state == "posted")
        if self._float.balance_centavos != paid - self._deposit or self._float.pending_centavos != 0:
            self._fail(
                f"the float is {self._float.balance_centavos}, {self._float.pending_centavos} pending; sold {paid} of {self._deposit}"
            )
