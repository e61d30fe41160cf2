"""The field table of dialect ``datafono``: ISO 8583:1987, numerics in BCD, bitmap and MAC in binary.

`SPEC` is a pyiso8583 specification dictionary; `iso8583.decode` and `iso8583.encode` take it as it is. Its packing is that of the stock
"iso87binary" field table (as jPOS ships it), so stock clients of other libraries understand it. Each row has four keys more, which
pyiso8583 does not look at:

- ``notation``: the row in the standard's notation ("n..19"), for people.
- ``kind``: what a value may be; the codecs hold values to it. ``n`` digits; ``x+n`` C or D and digits; ``z`` digits and D (track data);
  ``ans`` printable Latin-1; ``raw`` any octets, read as Latin-1 (the reserved elements, which networks fill as they like); ``b`` octets.
- ``is_masked``: the value is secret and is never shown or logged.
- ``source``: where the row comes from.

Rows that differ from pyiso8583's own ``default`` in more than BCD say so in their source.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

FieldRow = Mapping[str, Any]

_STOCK = "ISO 8583:1987; packing of the stock iso87binary field table"
_OURS = _STOCK + "; meaning in docs/wire/datafono.md"


def _row(
    notation: str, kind: str, *, data: str, prefix_octets: int, size: int, desc: str, source: str, **more: object
) -> FieldRow:
    return MappingProxyType(
        {
            "data_enc": data,
            "len_enc": "bcd",
            "len_type": prefix_octets,
            "max_len": size,
            "desc": desc,
            "notation": notation,
            "kind": kind,
            "is_masked": False,
            "source": source,
            **more,
        }
    )


def _n(digits: int, desc: str, source: str = _STOCK) -> FieldRow:
    """Digits, two to an octet; an odd count has a zero nibble in front."""
    return _row(
        f"n{digits}",
        "n",
        data="b",
        prefix_octets=0,
        size=digits,
        desc=desc,
        source=source,
        len_count="nibbles",
        left_pad="0",
    )


def _n_var(digits_max: int, desc: str, source: str = _STOCK) -> FieldRow:
    """One octet of BCD that counts digits, then the digits; an odd count has a zero nibble behind."""
    name = f"n..{digits_max}"
    return _row(
        name,
        "n",
        data="b",
        prefix_octets=1,
        size=digits_max,
        desc=desc,
        source=source,
        len_count="nibbles",
        right_pad="0",
    )


def _z_var(digits_max: int, desc: str) -> FieldRow:
    """As `_n_var`, and the separator is nibble D."""
    name = f"z..{digits_max}"
    more = {"len_count": "nibbles", "right_pad": "0", "is_masked": True}
    return _row(name, "z", data="b", prefix_octets=1, size=digits_max, desc=desc, source=_STOCK, **more)


def _signed(digits: int, desc: str) -> FieldRow:
    """One ASCII letter, C or D, then digits, two to an octet. pyiso8583 shows the letter as hex; the codecs do not."""
    return _row(f"x+n{digits}", "x+n", data="b", prefix_octets=0, size=1 + digits // 2, desc=desc, source=_STOCK)


def _char(octets: int, desc: str, source: str = _STOCK, notation: str = "ans") -> FieldRow:
    """Characters, one to an octet, always all of them."""
    return _row(f"{notation}{octets}", "ans", data="latin-1", prefix_octets=0, size=octets, desc=desc, source=source)


def _char_var(
    octets_max: int, desc: str, source: str = _STOCK, *, kind: str = "ans", is_masked: bool = False
) -> FieldRow:
    """BCD that counts octets (1 octet up to 99, 2 octets up to 999), then characters."""
    prefix_octets, dots = (1, "..") if octets_max <= 99 else (2, "...")
    name = f"ans{dots}{octets_max}"
    return _row(
        name,
        kind,
        data="latin-1",
        prefix_octets=prefix_octets,
        size=octets_max,
        desc=desc,
        source=source,
        is_masked=is_masked,
    )


def _raw_var(desc: str, source: str = _STOCK, *, is_masked: bool = False) -> FieldRow:
    return _char_var(999, desc, source, kind="raw", is_masked=is_masked)


def _binary(octets: int, desc: str, source: str = _STOCK) -> FieldRow:
    return _row(f"b{octets * 8}", "b", data="b", prefix_octets=0, size=octets, desc=desc, source=source)


def _masked(row: FieldRow) -> FieldRow:
    return MappingProxyType({**row, "is_masked": True})


_RESERVED: Mapping[str, FieldRow] = {
    **{str(number): _raw_var("Reserved for ISO use") for number in range(105, 112)},
    **{str(number): _raw_var("Reserved for national use") for number in range(112, 120)},
    **{str(number): _raw_var("Reserved for private use") for number in range(120, 128)},
}

SPEC: Final[Mapping[str, FieldRow]] = MappingProxyType(
    {
        "h": _char(0, "Message header: none"),
        "t": _binary(2, "Message type indicator"),
        "p": _binary(8, "Bitmap, primary"),
        "1": _binary(8, "Bitmap, secondary"),
        "2": _n_var(19, "Primary account number: the meter", _OURS),
        "3": _n(6, "Processing code", _OURS),
        "4": _n(12, "Amount, transaction: centavos", _OURS),
        "5": _n(12, "Amount, settlement"),
        "6": _n(12, "Amount, cardholder billing"),
        "7": _n(10, "Transmission date and time: MMDDhhmmss, UTC", _OURS),
        "8": _n(8, "Amount, cardholder billing fee"),
        "9": _n(8, "Conversion rate, settlement"),
        "10": _n(8, "Conversion rate, cardholder billing"),
        "11": _n(6, "System trace audit number", _OURS),
        "12": _n(6, "Time, local transaction: hhmmss"),
        "13": _n(4, "Date, local transaction: MMDD"),
        "14": _n(4, "Date, expiration"),
        "15": _n(4, "Date, settlement"),
        "16": _n(4, "Date, conversion"),
        "17": _n(4, "Date, capture"),
        "18": _n(4, "Merchant type"),
        "19": _n(3, "Acquiring institution country code"),
        "20": _n(3, "PAN extended, country code"),
        "21": _n(3, "Forwarding institution country code"),
        "22": _n(3, "Point of service entry mode"),
        "23": _n(3, "Card sequence number"),
        "24": _n(3, "Network international identifier", _OURS),
        "25": _n(2, "Point of service condition code"),
        "26": _n(2, "Point of service PIN capture code"),
        "27": _n(1, "Authorization identification response length"),
        "28": _signed(8, "Amount, transaction fee"),
        "29": _signed(8, "Amount, settlement fee"),
        "30": _signed(8, "Amount, transaction processing fee"),
        "31": _signed(8, "Amount, settlement processing fee"),
        "32": _n_var(11, "Acquiring institution identification code"),
        "33": _n_var(11, "Forwarding institution identification code"),
        "34": _char_var(28, "Primary account number, extended"),
        "35": _z_var(37, "Track 2 data"),
        "36": _char_var(104, "Track 3 data", is_masked=True),
        "37": _char(12, "Retrieval reference number", _OURS, "an"),
        "38": _char(6, "Authorization identification response", _OURS, "an"),
        "39": _char(2, "Response code", _OURS, "an"),
        "40": _char(3, "Service restriction code", notation="an"),
        "41": _char(8, "Card acceptor terminal identification", _OURS),
        "42": _char(15, "Card acceptor identification code: the merchant", _OURS),
        "43": _char(40, "Card acceptor name and location"),
        "44": _char_var(25, "Additional response data"),
        "45": _char_var(76, "Track 1 data", is_masked=True),
        "46": _raw_var("Additional data, ISO"),
        "47": _raw_var("Additional data, national"),
        "48": _char_var(999, "Additional data, private: sub-elements", _OURS),
        "49": _char(3, "Currency code, transaction", _OURS + "; three characters, as the stock table has it", "an"),
        "50": _char(3, "Currency code, settlement", notation="an"),
        "51": _char(3, "Currency code, cardholder billing", notation="an"),
        "52": _masked(_binary(8, "PIN data")),
        "53": _n(16, "Security related control information"),
        "54": _char_var(120, "Additional amounts", _STOCK + " (pyiso8583's default has 240)"),
        "55": _raw_var("Reserved ISO: chip data", _STOCK + " (pyiso8583's default has binary 255)", is_masked=True),
        "56": _raw_var("Reserved ISO"),
        "57": _raw_var("Reserved national"),
        "58": _raw_var("Reserved national"),
        "59": _raw_var("Reserved national"),
        "60": _raw_var("Reserved private"),
        "61": _raw_var("Reserved private"),
        "62": _char_var(999, "Reserved private: PINs, 20 digits each", _OURS, is_masked=True),
        "63": _char_var(999, "Reserved private: lines of the sale, sub-elements", _OURS),
        "64": _binary(8, "Message authentication code", _OURS),
        # 65 stands in no row: 1987 knows no third bitmap, and a bit that announces one is refused.
        "66": _n(1, "Settlement code"),
        "67": _n(2, "Extended payment code"),
        "68": _n(3, "Receiving institution country code"),
        "69": _n(3, "Settlement institution country code"),
        "70": _n(3, "Network management information code", _OURS),
        "71": _n(4, "Message number"),
        "72": _n(4, "Message number, last"),
        "73": _n(6, "Date, action"),
        "74": _n(10, "Credits, number"),
        "75": _n(10, "Credits, reversal number"),
        "76": _n(10, "Debits, number"),
        "77": _n(10, "Debits, reversal number"),
        "78": _n(10, "Transfers, number"),
        "79": _n(10, "Transfers, reversal number"),
        "80": _n(10, "Inquiries, number"),
        "81": _n(10, "Authorizations, number"),
        "82": _n(12, "Credits, processing fee amount"),
        "83": _n(12, "Credits, transaction fee amount"),
        "84": _n(12, "Debits, processing fee amount"),
        "85": _n(12, "Debits, transaction fee amount"),
        "86": _n(16, "Credits, amount"),
        "87": _n(16, "Credits, reversal amount"),
        "88": _n(16, "Debits, amount"),
        "89": _n(16, "Debits, reversal amount"),
        "90": _n(42, "Original data elements", _OURS),
        "91": _char(1, "File update code", notation="an"),
        "92": _char(2, "File security code", notation="an"),
        "93": _char(6, "Response indicator", _STOCK + " (pyiso8583's default has 5)", "an"),
        "94": _char(7, "Service indicator", notation="an"),
        "95": _char(42, "Replacement amounts", notation="an"),
        "96": _binary(16, "Message security code", _STOCK + " (16 octets; pyiso8583's default has 8)"),
        "97": _signed(16, "Amount, net settlement"),
        "98": _char(25, "Payee"),
        "99": _n_var(11, "Settlement institution identification code"),
        "100": _n_var(11, "Receiving institution identification code"),
        "101": _char_var(17, "File name"),
        "102": _char_var(28, "Account identification 1"),
        "103": _char_var(28, "Account identification 2"),
        "104": _char_var(100, "Transaction description"),
        **_RESERVED,
        "128": _binary(8, "Message authentication code", _OURS),
    }
)
"""The dialect ``datafono``. Read only."""
