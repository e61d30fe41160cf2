"""The token standard, IEC 62055-41 (STS): everything between a sale and the twenty digits, and what the meter makes of them.

Pure: bytes, integers and frozen objects in, the same out. Keys are plain ``bytes`` arguments that nothing here keeps; the security
module is their only holder. The one file that is read is the package's own `sts/sta_tables.toml`, once.

| module | what it knows |
|---|---|
| `sts.codes` | EA, DKGA, KT and base dates |
| `sts.pan` | meter numbers and their check digits |
| `sts.tid` | token identifiers, and which come next |
| `sts.amount` | amounts of units and money in a token |
| `sts.decoder_key` | DKGA02 and DKGA04 |
| `sts.sta`, `sts.tables`, `sts.misty1` | the two ciphers |
| `sts.crc`, `sts.framing` | checksum, block, transposition, digits |
| `sts.mint`, `sts.key_change` | tokens of classes 0, 1 and 2 |
| `sts.decode` | what a token says |
| `sts.meter` | what a meter does with it |
| `sts.vectors` | running a file of test vectors |

    key = derive_decoder_key(DecoderKeyInputs(...), vending_key)
    (tid,) = next_tids(now, last_tid, BaseDate.Y2014, 1)
    token = credit_token(key, EncryptionAlgorithm.MISTY1, load_tables(), 0, rnd, tid, units_tenths)
"""

from sts.codes import BaseDate, EncryptionAlgorithm, KeyAlgorithm, KeyType
from sts.decode import CurrencyCredit, DecodedToken, Management, MeterTest, UnitCredit, decode
from sts.decoder_key import DecoderKeyInputs, DecoderKeys, derive_decoder_key
from sts.errors import FieldRangeError, StsError, TokenCrcError, TokenFormatError, UnsupportedError
from sts.key_change import KeySection, NewKey, key_change_tokens
from sts.mint import (
    credit_token,
    currency_token,
    extended_control,
    extended_flag,
    management_token,
    meter_test_token,
)
from sts.pan import Pan, is_luhn_valid, luhn_digit, pan_of_meter, parse_pan
from sts.tables import StaTables, load_tables
from sts.tid import instant_of, next_tids, tid_at

__all__ = [
    "BaseDate",
    "CurrencyCredit",
    "DecodedToken",
    "DecoderKeyInputs",
    "DecoderKeys",
    "EncryptionAlgorithm",
    "FieldRangeError",
    "KeyAlgorithm",
    "KeySection",
    "KeyType",
    "Management",
    "MeterTest",
    "NewKey",
    "Pan",
    "StaTables",
    "StsError",
    "TokenCrcError",
    "TokenFormatError",
    "UnitCredit",
    "UnsupportedError",
    "credit_token",
    "currency_token",
    "decode",
    "derive_decoder_key",
    "extended_control",
    "extended_flag",
    "instant_of",
    "is_luhn_valid",
    "key_change_tokens",
    "load_tables",
    "luhn_digit",
    "management_token",
    "meter_test_token",
    "next_tids",
    "pan_of_meter",
    "parse_pan",
    "tid_at",
]
