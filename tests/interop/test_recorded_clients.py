"""What other makers' programs built and read when `make interop` was last run; the programs themselves are not needed here."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from acquirers.iso1987 import RecargasDialect
from messages.codec import RECARGAS
from messages.mac import MAC_FIELDS, MacForm, split_mac
from tests.messages.test_wire_document import octets_of, retail_mac
from tests.messages.test_wire_documents_in_characters import PAGES

FIXTURES = Path(__file__).parent / "fixtures"
NOW = datetime(2026, 11, 23, 16, 30, 35, tzinfo=UTC)


def recorded(program: str) -> dict[str, Any]:
    """Return what one program said, by the name of the message."""
    record = json.loads((FIXTURES / f"{program}.json").read_text(encoding="utf-8"))
    assert record["version"][0].isdigit()
    said: dict[str, Any] = record["said"]
    return said


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@pytest.mark.parametrize("program", ["iso8583sim", "iso_8583"])
def test_requests_of_other_clients_are_understood(program: str) -> None:
    """Every request that it built is a call of ours, and the MAC that it computed is right; npm's always has both bitmaps."""
    said = recorded(program)
    assert {"sign-on", "recharge", "recharge-repeated", "payment", "reversal", "cut-over"} <= set(said)
    for name, hex_text in said.items():
        octets = bytes.fromhex(hex_text)
        call = RecargasDialect().read(octets, acquirer_id="recargas", now=NOW)
        assert call.message.without_fields(*MAC_FIELDS) == PAGES["recargas"].examples[name]
        if set(MAC_FIELDS) & call.message.fields.keys():
            sealed = split_mac(call.message, octets, MacForm.HEX)
            assert sealed.mac == retail_mac(sealed.covered), name


def test_tshark_reads_our_frames_as_we_do() -> None:
    """Its dissector found the same values in every frame of the document that is plain ASCII."""
    said = recorded("tshark")
    assert {"recharge", "recharge-declined", "reversal", "cut-over-answer"} <= set(said)
    for name, fields in said.items():
        message = RECARGAS.decode(octets_of(PAGES["recargas"].blocks()[name])[2:])
        assert fields == {str(number): value for number, value in message.fields.items()}, name
