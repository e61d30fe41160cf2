"""Notices as messages, and what a network's answers to them mean."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acquirers.notices import VERDICTS_1987, VERDICTS_1993, Verdicts
from acquirers.registry import DIALECTS
from messages.iso_message import IsoMessage
from messages.mac import with_placeholder
from messages.settlement_file import file_id
from messages.wire import WIRES
from tests.messages.notice_examples import FACTS, notice_examples
from tests.vending.test_vending_notice_life import DOCUMENT
from vending.money import Centavos
from vending.notice import SettlementFacts
from vending.notice_life import NoticeEvent

CASES = [(dialect, name) for dialect in DIALECTS for name in FACTS]


@pytest.mark.parametrize(("dialect", "name"), CASES)
def test_a_notice_reads_back_as_itself_and_its_answer_is_paired_with_it(dialect: str, name: str) -> None:
    """In every dialect; a request of the network is no answer, nor is the answer to something else."""
    adapter, codec = DIALECTS[dialect](), WIRES[dialect].codec
    message = notice_examples(adapter.notice, "00")[name]
    assert codec.decode(codec.encode(message)) == message
    assert adapter.notice_answer(codec.encode(message)) is None
    fields = {number: text for number, text in message.fields.items() if number in (7, 11, 41)}
    code = "00" if dialect != "loteria" else "900"
    body = codec.encode(with_placeholder(IsoMessage(mti=message.answer_mti, fields={**fields, 39: code})))
    answer = adapter.notice_answer(body)
    assert answer is not None
    assert (answer.stan, answer.transmitted, answer.event) == (message.text(11), message.text(7), NoticeEvent.ACCEPTED)
    assert answer.terminal_id == "TERM0001"
    echo = IsoMessage(
        mti=f"{message.mti[0]}810" if dialect != "loteria" else "1814", fields={7: fields[7], 11: fields[11], 39: code}
    )
    assert adapter.notice_answer(codec.encode(echo)) is None


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_repeat_differs_in_its_mti_only(dialect: str) -> None:
    """By everything else the network knows that it is the same."""
    examples = notice_examples(DIALECTS[dialect]().notice, "00")
    first, repeat = examples["notice-settlement"], examples["notice-settlement-repeated"]
    assert repeat.mti == first.mti[:3] + "1"
    assert repeat.fields == first.fields


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_sale_stands_in_an_advice_and_was_given_back_in_a_reversal(dialect: str) -> None:
    """Second digit 2 and 4; no notice has a data element for PINs."""
    examples = notice_examples(DIALECTS[dialect]().notice, "00")
    classes = {name: examples[name].mti[1] for name in FACTS}
    assert classes == {"notice-settlement": "5", "notice-outcome": "2", "notice-void": "4", "notice-adjustment": "2"}
    assert all(62 not in message for message in examples.values())


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_longest_notice_fits(dialect: str) -> None:
    """The longest name of a network, and sums of 15 digits."""
    longest = FACTS["notice-settlement"]
    assert isinstance(longest, SettlementFacts)
    most = Centavos(10**15 - 1)
    facts = replace(longest, file_id=file_id("x" * 31, longest.day), commission_centavos=most, tax_centavos=most)
    message = notice_examples(lambda notice: DIALECTS[dialect]().notice(replace(notice, facts=facts)), "00")
    assert len(WIRES[dialect].codec.encode(with_placeholder(message["notice-settlement"]))) < 500


@pytest.mark.parametrize(("column", "verdicts"), [(1, VERDICTS_1987), (2, VERDICTS_1993)])
def test_the_document_says_what_each_code_means(column: int, verdicts: Verdicts) -> None:
    """docs/store-and-forward.md has exactly the codes by which the code goes; what is in neither row is final."""
    section = DOCUMENT.read_text().split("## What an answer means")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| ")]
    accepted, put_off = (frozenset(re.findall(r"\d{2,3}", row[column])) for row in rows[1:3])
    assert (accepted, put_off) == (verdicts.accepted, verdicts.put_off)
    assert not accepted & put_off
    assert verdicts.event("ZZ") is NoticeEvent.REFUSED
    assert verdicts.label("ZZ") == "other", "a network does not choose our labels"


@given(body=st.binary(max_size=80), name=st.sampled_from(sorted(DIALECTS)))
def test_no_octets_make_it_fail(body: bytes, name: str) -> None:
    """Whatever comes, it is an answer or it is none."""
    DIALECTS[name]().notice_answer(body)
