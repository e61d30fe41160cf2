"""What we ask a host, in octets, and what is an answer to it: docs/links.md against the code."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acquirers.calls import NetworkRequest
from acquirers.host_link import pairing_of
from acquirers.registry import DIALECTS
from messages.iso_message import IsoMessage
from messages.wire import WIRES

DOCUMENT = Path(__file__).parents[2] / "docs" / "links.md"
NOW = datetime(2026, 11, 23, 16, 30, tzinfo=UTC)
ROWS = [(dialect, request) for dialect in DIALECTS for request in NetworkRequest]


def row(dialect: str, request: NetworkRequest) -> str:
    """One row of the document's table."""
    message = DIALECTS[dialect]().network_request(request, stan="000001", now=NOW)
    elements = ", ".join(f"{number} = {text}" for number, text in message.fields.items())
    octets = DIALECTS[dialect]().encode(message).hex().upper()
    return f"| `{dialect}` | {request.value} | {message.mti} | {elements} | `{octets}` |"


@pytest.mark.parametrize(("dialect", "request_kind"), ROWS)
def test_the_document_shows_what_is_sent(dialect: str, request_kind: NetworkRequest) -> None:
    """Each question stands in docs/links.md octet for octet, reads back as itself, and a switch like ours would serve it."""
    assert row(dialect, request_kind) in DOCUMENT.read_text()
    adapter = DIALECTS[dialect]()
    message = adapter.network_request(request_kind, stan="000001", now=NOW)
    body = adapter.encode(message)
    assert WIRES[dialect].codec.decode(body) == message
    call = adapter.read(body, acquirer_id="x", now=NOW)
    assert getattr(call, "request", None) is request_kind
    assert adapter.host_answer(body) is None, "a request is no answer"
    answer = adapter.host_answer(adapter.encode(adapter.acknowledge(message)))
    assert answer is not None
    assert answer.is_approved
    assert answer.pairing == pairing_of(message)


def test_a_refusal_is_an_answer_that_does_not_approve() -> None:
    """In every dialect the codes of 39 are told apart."""
    for name, make in DIALECTS.items():
        adapter = make()
        asked = adapter.network_request(NetworkRequest.SIGN_ON, stan="000007", now=NOW)
        refused = IsoMessage(mti=asked.answer_mti, fields={**asked.fields, 39: "91" if name != "loteria" else "907"})
        answer = adapter.host_answer(adapter.encode(refused))
        assert answer is not None
        assert not answer.is_approved


@given(body=st.binary(max_size=80), name=st.sampled_from(sorted(DIALECTS)))
def test_no_octets_make_it_fail(body: bytes, name: str) -> None:
    """Whatever a host sends, it is an answer or it is none."""
    DIALECTS[name]().host_answer(body)


def test_the_document_has_no_other_rows() -> None:
    """A row that the code does not send is a mistake."""
    assert len(re.findall(r"^\| `(?:datafono|recargas|loteria)` \|", DOCUMENT.read_text(), re.MULTILINE)) == len(ROWS)
