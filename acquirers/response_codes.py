"""Data element 39 of ISO 8583:1987: our response codes in the two digits that a datáfono shows.

The codes are those of the 1987 standard where it has one for the meaning; 60 to 79 and 90 to 99 are its ranges for national and
private use.
"""

from vending.response_code import ResponseCode

ISO_1987 = {
    ResponseCode.APPROVED: "00",
    ResponseCode.FORMAT_ERROR: "30",
    ResponseCode.UNSUPPORTED_MESSAGE: "40",
    ResponseCode.UNSUPPORTED_PROCESSING_CODE: "12",
    ResponseCode.MAC_MISMATCH: "63",
    ResponseCode.DUPLICATE_CONFLICT: "94",
    ResponseCode.TERMINAL_UNKNOWN: "03",
    ResponseCode.TERMINAL_BLOCKED: "58",
    ResponseCode.ACQUIRER_STOPPED: "57",
    ResponseCode.NOT_SIGNED_ON: "77",
    ResponseCode.OUTSIDE_HOURS: "73",
    ResponseCode.NOT_PERMITTED: "74",
    ResponseCode.METER_UNKNOWN: "14",
    ResponseCode.METER_BLOCKED: "62",
    ResponseCode.WRONG_SERVICE: "56",
    ResponseCode.KEY_CHANGE_DUE: "75",
    ResponseCode.UNKNOWN_OBLIGATION: "76",
    ResponseCode.NOTHING_OWED: "78",
    ResponseCode.AMOUNT_INVALID: "13",
    ResponseCode.AMOUNT_BELOW_MINIMUM: "70",
    ResponseCode.AMOUNT_ABOVE_MAXIMUM: "61",
    ResponseCode.AMOUNT_TOO_LOW: "71",
    ResponseCode.OVERPAID: "72",
    ResponseCode.FLOAT_SHORT: "51",
    ResponseCode.ORIGINAL_NOT_FOUND: "25",
    ResponseCode.SALE_STANDS: "21",
    ResponseCode.TOTALS_DIFFER: "97",
    ResponseCode.METER_BUSY: "79",
    ResponseCode.TARIFF_MISSING: "93",
    ResponseCode.MODULE_REFUSED: "95",
    ResponseCode.IN_PROGRESS: "09",
    ResponseCode.MODULE_UNAVAILABLE: "91",
    ResponseCode.LEDGER_UNAVAILABLE: "92",
    ResponseCode.OVERLOADED: "90",
    ResponseCode.SYSTEM_ERROR: "96",
}
"""Every response code has exactly one spelling, and no two share one; a test says so."""
