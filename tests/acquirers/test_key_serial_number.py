"""Where the key serial number of DUKPT stands in the messages of each dialect."""

import pytest

from acquirers.iso1987_requests import DIGEST_FIELDS as DIGEST_FIELDS_1987
from acquirers.iso1993_requests import DIGEST_FIELDS as DIGEST_FIELDS_1993
from acquirers.key_serial_number import read_ksn, with_ksn
from messages.iso_message import IsoMessage
from messages.wire import WIRES
from tests.messages.test_wire_document import EXAMPLES
from tests.messages.test_wire_documents_in_characters import in_1993
from vending.response_code import Refusal, ResponseCode

KSN = bytes.fromhex("FFFF9876543210E00001")


@pytest.mark.parametrize("dialect", WIRES)
def test_it_goes_over_the_line_and_is_under_no_digest(dialect: str) -> None:
    """In a recharge as in a cut-over; a repeat may have another, because no digest covers its element."""
    for name in ("recharge", "cut-over", "network-totals"):
        message = in_1993(name) if dialect == "loteria" else EXAMPLES[name]
        codec = WIRES[dialect].codec
        written = with_ksn(message, KSN)
        assert read_ksn(codec.decode(codec.encode(written))) == KSN
        (element,) = set(written.fields) - set(message.fields)
        assert element not in (*DIGEST_FIELDS_1987, *DIGEST_FIELDS_1993)


@pytest.mark.parametrize(
    ("mti", "fields"),
    [
        ("0200", {}),
        ("0200", {63: "no list"}),
        ("0200", {63: "KS018FFFF9876543210E000"}),
        ("0200", {63: "KS020FFFF9876543210E0000x"}),
        ("1200", {}),
        ("1200", {53: "FFFF9876543210E00001"}),
    ],
)
def test_without_it_nobody_can_say_that_the_mac_is_right(mti: str, fields: dict[int, str]) -> None:
    """Missing, short or malformed is a wrong MAC: nothing else of the message is believed."""
    with pytest.raises(Refusal) as refused:
        read_ksn(IsoMessage(mti=mti, fields={11: "000001", **fields}))
    assert refused.value.code is ResponseCode.MAC_MISMATCH
