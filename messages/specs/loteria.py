"""The field table of dialect ``loteria``: ISO 8583:1993, every octet a character.

`SPEC` is a pyiso8583 specification dictionary. Its packing is that of the stock 1993 ASCII field table (jPOS: `ISO93APackager`). The extra
keys of a row are explained in `messages.specs.datafono`.

Elements 53, 55 and 96 are octets as they are behind a length that counts them, as jPOS sends them; all other binary elements are hex
characters. 65 is in no row because pyiso8583 reads its bit as a third bitmap.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from messages.specs.ascii_rows import FieldRow, ascii_row, head_rows

_STOCK = "ISO 8583:1993; packing of the stock 1993 ASCII field table"
_OURS = _STOCK + "; meaning in docs/wire/loteria.md"


def _n(digits: int, desc: str, source: str = _STOCK) -> FieldRow:
    return ascii_row("n", digits, desc, source, notation=f"n{digits}")


def _n_var(digits_max: int, desc: str, source: str = _STOCK) -> FieldRow:
    return ascii_row("n", digits_max, desc, source, notation=f"n..{digits_max}", is_variable=True)


def _char(characters: int, desc: str, source: str = _STOCK, notation: str = "ans") -> FieldRow:
    return ascii_row("ans", characters, desc, source, notation=f"{notation}{characters}")


def _char_var(
    characters_max: int, desc: str, source: str = _STOCK, *, kind: str = "ans", is_masked: bool = False
) -> FieldRow:
    dots = ".." if characters_max <= 99 else "..."
    notation = f"ans{dots}{characters_max}"
    return ascii_row(kind, characters_max, desc, source, notation=notation, is_variable=True, is_masked=is_masked)


def _raw_var(desc: str, source: str = _STOCK, characters_max: int = 999, *, is_masked: bool = False) -> FieldRow:
    return _char_var(characters_max, desc, source, kind="raw", is_masked=is_masked)


def _octets(octets: int, desc: str, source: str = _STOCK, *, is_masked: bool = False) -> FieldRow:
    """Binary: two hex characters for each octet."""
    return ascii_row("b", 2 * octets, desc, source, notation=f"b{8 * octets}", is_masked=is_masked)


_RESERVED: Mapping[str, FieldRow] = {
    **{str(number): _raw_var("Reserved for ISO use") for number in range(111, 116)},
    **{str(number): _raw_var("Reserved for national use") for number in range(116, 123)},
    **{str(number): _raw_var("Reserved for private use") for number in range(123, 128)},
}

SPEC: Final[Mapping[str, FieldRow]] = MappingProxyType(
    {
        **head_rows(_STOCK),
        "2": _n_var(19, "Primary account number: the meter", _OURS),
        "3": _n(6, "Processing code", _OURS),
        "4": _n(12, "Amount, transaction: centavos", _OURS),
        "5": _n(12, "Amount, reconciliation"),
        "6": _n(12, "Amount, cardholder billing"),
        "7": _n(10, "Date and time, transmission: MMDDhhmmss, UTC", _OURS),
        "8": _n(8, "Amount, cardholder billing fee"),
        "9": _n(8, "Conversion rate, reconciliation"),
        "10": _n(8, "Conversion rate, cardholder billing"),
        "11": _n(6, "Systems trace audit number", _OURS),
        "12": _n(12, "Date and time, local transaction: YYMMDDhhmmss", _OURS),
        "13": _n(4, "Date, effective"),
        "14": _n(4, "Date, expiration"),
        "15": _n(6, "Date, settlement"),
        "16": _n(4, "Date, conversion"),
        "17": _n(4, "Date, capture"),
        "18": _n(4, "Merchant type"),
        "19": _n(3, "Country code, acquiring institution"),
        "20": _n(3, "Country code, primary account number"),
        "21": _n(3, "Country code, forwarding institution"),
        "22": _char(12, "Point of service data code", notation="an"),
        "23": _n(3, "Card sequence number"),
        "24": _n(3, "Function code", _OURS),
        "25": _n(4, "Message reason code", _OURS),
        "26": _n(4, "Card acceptor business code"),
        "27": _n(1, "Approval code length"),
        "28": _n(6, "Date, reconciliation: YYMMDD", _OURS),
        "29": _n(3, "Reconciliation indicator"),
        "30": _n(24, "Amounts, original"),
        "31": _char_var(99, "Acquirer reference data"),
        "32": _n_var(11, "Acquirer institution identification code"),
        "33": _n_var(11, "Forwarding institution identification code"),
        "34": _char_var(28, "Primary account number, extended"),
        "35": _char_var(37, "Track 2 data", is_masked=True),
        "36": _char_var(104, "Track 3 data", is_masked=True),
        "37": _char(12, "Retrieval reference number", _OURS, "an"),
        "38": _char(6, "Approval code", _OURS, "an"),
        "39": _n(3, "Action code", _OURS),
        "40": _n(3, "Service code"),
        "41": _char(8, "Card acceptor terminal identification", _OURS),
        "42": _char(15, "Card acceptor identification code: the merchant", _OURS),
        "43": _char_var(99, "Card acceptor name and location"),
        "44": _char_var(99, "Additional response data"),
        "45": _char_var(76, "Track 1 data", is_masked=True),
        "46": _raw_var("Amounts, fees", characters_max=204),
        "47": _raw_var("Additional data, national"),
        "48": _char_var(999, "Additional data, private: sub-elements", _OURS),
        "49": _char(3, "Currency code, transaction", _OURS, "an"),
        "50": _char(3, "Currency code, reconciliation", notation="an"),
        "51": _char(3, "Currency code, cardholder billing", notation="an"),
        "52": _octets(8, "Personal identification number (PIN) data", is_masked=True),
        "53": _raw_var("Security related control information", characters_max=48, is_masked=True),
        "54": _char_var(120, "Amounts, additional"),
        "55": _raw_var("Integrated circuit card related data", characters_max=255, is_masked=True),
        "56": _n_var(35, "Original data elements", _OURS),
        "57": _n(3, "Authorization life cycle code"),
        "58": _n_var(11, "Authorizing agent institution identification code"),
        "59": _raw_var("Transport data"),
        "60": _raw_var("Reserved for national use"),
        "61": _raw_var("Reserved for national use"),
        "62": _char_var(999, "Reserved for private use: PINs, 20 digits each", _OURS, is_masked=True),
        "63": _char_var(999, "Reserved for private use: lines of the sale, sub-elements", _OURS),
        "64": _octets(8, "Message authentication code", _OURS),
        "66": _raw_var("Amounts, original fees", characters_max=204),
        "67": _n(2, "Extended payment data"),
        "68": _n(3, "Country code, receiving institution"),
        "69": _n(3, "Country code, settlement institution"),
        "70": _n(3, "Country code, authorizing agent institution"),
        "71": _n(8, "Message number"),
        "72": _raw_var("Data record"),
        "73": _n(6, "Date, action"),
        "74": _n(10, "Credits, number", _OURS),
        "75": _n(10, "Credits, reversal number", _OURS),
        "76": _n(10, "Debits, number", _OURS),
        "77": _n(10, "Debits, reversal number", _OURS),
        "78": _n(10, "Transfer, number"),
        "79": _n(10, "Transfer, reversal number"),
        "80": _n(10, "Inquiries, number"),
        "81": _n(10, "Authorizations, number"),
        "82": _n(10, "Inquiries, reversal number"),
        "83": _n(10, "Payments, number"),
        "84": _n(10, "Payments, reversal number"),
        "85": _n(10, "Fee collections, number"),
        "86": _n(16, "Credits, amount", _OURS),
        "87": _n(16, "Credits, reversal amount", _OURS),
        "88": _n(16, "Debits, amount", _OURS),
        "89": _n(16, "Debits, reversal amount", _OURS),
        "90": _n(10, "Authorizations, reversal number"),
        "91": _n(3, "Country code, transaction destination institution"),
        "92": _n(3, "Country code, transaction originator institution"),
        "93": _n_var(11, "Transaction destination institution identification code"),
        "94": _n_var(11, "Transaction originator institution identification code"),
        "95": _char_var(99, "Card issuer reference data"),
        "96": _raw_var("Key management data", is_masked=True),
        "97": ascii_row("x+n", 17, "Amount, net reconciliation", _OURS, notation="x+n16"),
        "98": _char(25, "Payee"),
        "99": _char_var(11, "Settlement institution identification code"),
        "100": _n_var(11, "Receiving institution identification code"),
        "101": _char_var(17, "File name"),
        "102": _char_var(28, "Account identification 1"),
        "103": _char_var(28, "Account identification 2"),
        "104": _char_var(100, "Transaction description"),
        "105": _n(16, "Credits, chargeback amount"),
        "106": _n(16, "Debits, chargeback amount"),
        "107": _n(10, "Credits, chargeback number"),
        "108": _n(10, "Debits, chargeback number"),
        "109": _char_var(84, "Credits, fee amounts"),
        "110": _char_var(84, "Debits, fee amounts"),
        **_RESERVED,
        "128": _octets(8, "Message authentication code", _OURS),
    }
)
"""The dialect ``loteria``. Read only."""
