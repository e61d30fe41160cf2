"""Data element 39 of ISO 8583:1993: our response codes as action codes of three digits.

Codes of the standard where it has one for the meaning. The first digit is the standard's in any case: 0 approved, 1 denied, 4 reversal,
5 reconciliation, 8 network management, 9 the message or the system. Codes that end in 80 to 89 are of this dialect. No code begins with
2: that tells the one who asked to keep the card.
"""

from collections.abc import Mapping
from typing import Final

from vending.response_code import ResponseCode

ISO_1993: Final[dict[ResponseCode, str]] = {
    ResponseCode.APPROVED: "000",
    ResponseCode.FORMAT_ERROR: "904",
    ResponseCode.UNSUPPORTED_MESSAGE: "902",
    ResponseCode.UNSUPPORTED_PROCESSING_CODE: "115",
    ResponseCode.MAC_MISMATCH: "916",
    ResponseCode.DUPLICATE_CONFLICT: "913",
    ResponseCode.TERMINAL_UNKNOWN: "109",
    ResponseCode.TERMINAL_BLOCKED: "120",
    ResponseCode.ACQUIRER_STOPPED: "905",
    ResponseCode.NOT_SIGNED_ON: "980",
    ResponseCode.OUTSIDE_HOURS: "185",
    ResponseCode.NOT_PERMITTED: "186",
    ResponseCode.METER_UNKNOWN: "111",
    ResponseCode.METER_BLOCKED: "119",
    ResponseCode.WRONG_SERVICE: "114",
    ResponseCode.KEY_CHANGE_DUE: "187",
    ResponseCode.UNKNOWN_OBLIGATION: "180",
    ResponseCode.NOTHING_OWED: "181",
    ResponseCode.AMOUNT_INVALID: "110",
    ResponseCode.AMOUNT_BELOW_MINIMUM: "182",
    ResponseCode.AMOUNT_ABOVE_MAXIMUM: "121",
    ResponseCode.AMOUNT_TOO_LOW: "183",
    ResponseCode.OVERPAID: "184",
    ResponseCode.FLOAT_SHORT: "116",
    ResponseCode.ORIGINAL_NOT_FOUND: "914",
    ResponseCode.SALE_STANDS: "480",
    ResponseCode.TOTALS_DIFFER: "502",
    ResponseCode.METER_BUSY: "981",
    ResponseCode.TARIFF_MISSING: "982",
    ResponseCode.MODULE_REFUSED: "921",
    ResponseCode.IN_PROGRESS: "923",
    ResponseCode.MODULE_UNAVAILABLE: "920",
    ResponseCode.LEDGER_UNAVAILABLE: "912",
    ResponseCode.OVERLOADED: "907",
    ResponseCode.SYSTEM_ERROR: "909",
}
"""Every response code has exactly one spelling, and no two share one; a test says so."""

APPROVED_OF_CLASS: Final[Mapping[str, str]] = {
    "1220": "900",
    "1400": "400",
    "1420": "400",
    "1500": "500",
    "1520": "500",
    "1800": "800",
}
"""How an approval is spelled in answer to these message classes; elsewhere it is 000."""

APPROVALS: Final = frozenset({ISO_1993[ResponseCode.APPROVED], *APPROVED_OF_CLASS.values()})
"""Everything that says "done"."""


def action_code(message_class: str, code: ResponseCode) -> str:
    """Return data element 39 of the answer to a message of this class (its MTI with 0 as the last digit)."""
    if code is ResponseCode.APPROVED:
        return APPROVED_OF_CLASS.get(message_class, ISO_1993[code])
    return ISO_1993[code]
