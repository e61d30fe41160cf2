"""The batch upload: each record once and as if it had come alone, whatever is sent again and whenever the time ends."""

from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from ledger.errors import LedgerOutcomeUnknown, LedgerUnavailable
from messages.codec import DATAFONO
from messages.iso_message import IsoMessage
from messages.record_list import write_records
from messages.subfields import parse_sub_elements
from switch.log import Event
from tests.switch.sale_bench import (
    CODES,
    DEADLINE_SECONDS,
    HANG,
    Bench,
    Sent,
    advice,
    recharge,
    request,
    reversal,
    signed,
)
from vending.order import SalePost
from vending.ports import ModuleUnavailable
from vending.response_code import ResponseCode

Lines = list[MutableMapping[str, Any]]
APPROVED, OPEN = ResponseCode.APPROVED, ResponseCode.IN_PROGRESS


@pytest.fixture(autouse=True)
def lines() -> Iterator[Lines]:
    structlog.reset_defaults()
    with capture_logs() as captured:
        yield captured


def paid(stan: str, mti: str = "0200", *, meter: str | None = None, centavos: int = 500_000) -> IsoMessage:
    """A payment of its own on a meter of its own."""
    fields = {2: meter or f"37000{stan}", 3: "530000", 4: f"{centavos:012d}", 49: "170"}
    return request(mti, fields, stan=stan)


def batch(*records: IsoMessage, mti: str = "0320", stan: str = "000900") -> IsoMessage:
    return request(mti, {60: write_records(map(DATAFONO.encode, records))}, stan=stan, time="163100")


def told(sent: Sent) -> list[tuple[str, ResponseCode, str]]:
    """STAN, code and receipt of each record."""
    parts = [element.value.split(";") for element in parse_sub_elements(sent.message.text(48))]
    return [(stan, CODES[code], receipt) for _, stan, _, code, _, receipt in parts]


def codes(sent: Sent) -> list[ResponseCode]:
    return [code for _, code, _ in told(sent)]


def test_each_record_is_posted_before_the_answer_leaves(lines: Lines) -> None:
    """Two payments and an advice of the first: signed answers are stored under their own keys, and the whole is approved."""
    bench = Bench()
    about = request("0220", {90: "0200" + "000001" + "1123163030" + "0" * 22}, stan="000003", time="163040")
    sent = bench.send(batch(about, paid("000001"), paid("000002")))
    assert (sent.message.mti, sent.code, sent.is_signed) == ("0330", APPROVED, True)
    assert told(sent) == [
        ("000003", APPROVED, ""),
        ("000001", APPROVED, "1000122"),
        ("000002", APPROVED, "1000123"),
    ]
    assert bench.events[-3:] == ["sign asked", "sign done", "answer left"]
    assert [type(posting) for posting in bench.ledger.postings].count(SalePost) == 2
    events = [line["event"] for line in lines]
    assert events == [Event.SALE_COMPLETED, Event.SALE_COMPLETED, Event.ADVICE_ANSWERED, Event.BATCH_ANSWERED]
    assert bench.value("requests_total", mti="0200", code="approved") == 2
    assert bench.value("requests_total", mti="0320", code="approved") == 1


def test_what_is_stored_is_the_answer_to_the_single_message() -> None:
    """A record sent alone afterwards gets it octet for octet, and a bench that never saw a batch would have made the same."""
    bench = Bench()
    bench.send(batch(paid("000001"), paid("000002")))
    single = bench.send(paid("000001", "0201"))
    assert single.body == Bench().send(paid("000001")).body
    assert single.code is APPROVED
    assert len(bench.ledger.sales) == 2


def test_a_batch_again_is_told_the_same_and_pays_nothing_twice() -> None:
    """As an 0321, in another 0320 with another order, and after its payment came alone: same codes, same receipts."""
    bench = Bench()
    bench.send(paid("000002"))
    first = bench.send(batch(paid("000001"), paid("000002"), mti="0320"))
    again = bench.send(batch(paid("000001"), paid("000002"), mti="0321"))
    assert told(again) == told(first)
    assert again.body == first.body
    other = bench.send(batch(paid("000002", "0201"), paid("000001"), stan="000901"))
    assert sorted(told(other)) == sorted(told(first))
    assert len(bench.ledger.sales) == 2
    assert len(bench.ledger.postings) == 2


def test_a_record_twice_in_one_batch() -> None:
    """The second waits for the first and is told the same; other content under the key is refused, the first stands."""
    bench = Bench()
    bench.ledger.reserve.plan(HANG)
    sent = bench.send(batch(paid("000001"), paid("000001"), paid("000001", centavos=600_000)))
    bench.ledger.reserve.release()
    assert told(sent) == [
        ("000001", APPROVED, "1000122"),
        ("000001", APPROVED, "1000122"),
        ("000001", ResponseCode.DUPLICATE_CONFLICT, ""),
    ]
    assert len(bench.ledger.sales) == 1


def test_a_record_in_two_batches_at_once_and_as_a_single_message() -> None:
    """All three wait for the one that is in work, and are told what it did."""
    bench = Bench()
    bench.ledger.post.plan(HANG)
    single = bench.send(paid("000001"))
    one, two = bench.send(batch(paid("000001"))), bench.send(batch(paid("000001"), stan="000901"))
    assert [sent.is_answered for sent in (single, one, two)] == [False] * 3
    bench.ledger.post.release()
    assert single.code is APPROVED
    assert told(one) == told(two) == [("000001", APPROVED, "1000122")]
    assert len(bench.ledger.sales) == 1


def test_a_record_with_other_content_than_what_was_sold() -> None:
    """94, and what stands in the journal stays."""
    bench = Bench()
    first = bench.send(paid("000001"))
    assert codes(bench.send(batch(paid("000001", centavos=1_000)))) == [ResponseCode.DUPLICATE_CONFLICT]
    assert bench.send(paid("000001", "0201")).body == first.body


def test_a_recharge_in_a_batch_sells_nothing() -> None:
    """The records beside it are done; of the recharge nothing is written, so its own message may still come."""
    bench = Bench()
    sent = bench.send(batch(recharge(stan="000007"), paid("000001")))
    assert codes(sent) == [ResponseCode.UNSUPPORTED_PROCESSING_CODE, APPROVED]
    assert bench.module.minting.asked == []
    assert len(bench.ledger.digests) == 1
    assert bench.send(recharge(stan="000007")).code is APPROVED


def test_the_mac_is_verified_before_any_record_is_looked_at() -> None:
    """A wrong one touches nothing and gets no MAC back."""
    bench = Bench()
    body = bytearray(signed(batch(paid("000001"))))
    body[-1] ^= 1
    sent = bench.send_octets(bytes.fromhex("6000030123") + bytes(body))
    assert (sent.code, sent.is_signed) == (ResponseCode.MAC_MISMATCH, False)
    assert bench.ledger.digests == {}


def test_what_has_no_time_is_not_final_and_goes_on() -> None:
    """The answer leaves before the deadline with what is known; the rest ends by itself, and the next batch finds it."""
    bench = Bench()
    bench.ledger.post.plan(HANG)
    about = request("0220", {90: "0200" + "000001" + "1123163030" + "0" * 22}, stan="000003", time="163040")
    sent = bench.send(batch(paid("000001"), paid("000002"), about))
    bench.wait(DEADLINE_SECONDS * 0.87)
    assert not sent.is_answered
    bench.wait(DEADLINE_SECONDS * 0.01)
    assert (sent.code, sent.is_signed) == (OPEN, True)
    assert told(sent) == [("000001", OPEN, ""), ("000002", APPROVED, "1000123"), ("000003", OPEN, "")]
    bench.ledger.post.release()
    assert bench.ledger.advise.asked == [], "nothing new begins for an answer that has left"
    again = bench.send(batch(paid("000001"), paid("000002"), about, stan="000901"))
    assert told(again) == [("000001", APPROVED, "1000122"), ("000002", APPROVED, "1000123"), ("000003", APPROVED, "")]
    assert len(bench.ledger.sales) == 2
    assert len(bench.in_flight) == 0


@pytest.mark.parametrize("failure", [LedgerUnavailable("gone"), LedgerOutcomeUnknown("commit"), RuntimeError("fault")])
def test_a_failure_of_ours_is_never_a_verdict_on_a_record(failure: Exception) -> None:
    """An earlier batch may have held it: 09 instead of 92, the others are done, and the next batch does the rest."""
    bench = Bench()
    bench.ledger.reserve.plan(failure)
    assert codes(bench.send(batch(paid("000001"), paid("000002")))) == [OPEN, APPROVED]
    assert codes(bench.send(batch(paid("000001"), paid("000002"), stan="000901"))) == [APPROVED, APPROVED]


def test_what_was_refused_for_the_moment_is_done_in_a_batch() -> None:
    """A payment sent alone got 92 and was stored by the till; its record is a repeat of it and no copy."""
    bench = Bench()
    bench.ledger.reserve.plan(LedgerUnavailable("gone"))
    assert bench.send(paid("000001")).code is ResponseCode.LEDGER_UNAVAILABLE
    assert codes(bench.send(batch(paid("000001")))) == [APPROVED]


def test_a_module_that_is_away_leaves_records_open() -> None:
    """The answer is not signed, so the till takes it for none; what is reserved ends with the next batch."""
    bench = Bench()
    bench.module.signing.plan(ModuleUnavailable("no link"), ModuleUnavailable("no link"))
    sent = bench.send(batch(paid("000001")))
    assert (codes(sent), sent.is_signed) == ([OPEN], False)
    assert codes(bench.send(batch(paid("000001"), mti="0321"))) == [APPROVED]
    assert len(bench.ledger.sales) == 1


def test_payments_are_done_before_what_is_about_them() -> None:
    """A reversal beside its payment finds it sold, in whatever order they stand."""
    bench = Bench()
    undo = request("0420", {90: "0200" + "000001" + "1123163030" + "0" * 22}, stan="000004", time="163140")
    bench.send(batch(undo, paid("000001")))
    first, second = bench.events.index("reserve asked"), bench.events.index("find_original asked")
    assert bench.events.index("post done") < second
    assert first < second


def test_an_advice_and_a_reversal_of_nothing_are_told_so() -> None:
    """25 is final, and stored under their own keys."""
    bench = Bench()
    sent = bench.send(batch(advice(), reversal("0420")))
    assert codes(sent) == [ResponseCode.ORIGINAL_NOT_FOUND] * 2
    assert sent.code is APPROVED
    assert sorted(key.message_class for key in bench.ledger.answers) == ["0220", "0420"]


def test_each_record_counts_as_a_request_in_work() -> None:
    """What is above the limit of the network is not final; a batch cannot be a way around it."""
    bench = Bench(in_flight_max=3, connection_in_flight_max=2)
    bench.ledger.post.plan(HANG, HANG)
    sent = bench.send(batch(*[paid(f"00000{number}") for number in range(1, 6)]))
    assert bench.send(paid("000008")).code is ResponseCode.OVERLOADED
    bench.ledger.post.release()
    bench.ledger.post.release()
    assert codes(sent) == [APPROVED, APPROVED, OPEN, OPEN, OPEN]
    assert codes(bench.send(batch(paid("000003"), paid("000004"), stan="000901"))) == [APPROVED, APPROVED]


def test_payments_on_one_meter_go_one_after_the_other() -> None:
    """A batch of one house is no fault."""
    bench = Bench()
    records = [paid(f"00000{number}", meter="37000000007") for number in range(1, 6)]
    assert codes(bench.send(batch(*records))) == [APPROVED] * 5
