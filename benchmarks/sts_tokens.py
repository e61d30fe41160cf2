"""What one token costs: derivation of the decoder key and the mint, under EA07 and EA11, and reading a token back.

Run ``.venv/bin/python -m benchmarks.sts_tokens``; it prints the median of seven rounds in microseconds, one core.
"""

import statistics
import timeit
from collections.abc import Callable

from sts import (
    BaseDate,
    DecoderKeyInputs,
    EncryptionAlgorithm,
    KeyAlgorithm,
    KeyType,
    credit_token,
    decode,
    derive_decoder_key,
    load_tables,
)

ROUNDS = 7
CALLS = 2_000
VENDING_KEY_04 = bytes.fromhex("abababababababab949494949494949401234567")
"""The public key of the STS 531 compliance tests."""
VENDING_KEY_02 = VENDING_KEY_04[:8]
TABLES = load_tables()
TID = 85_740
UNITS_TENTHS = 438


def _inputs(key_algorithm: KeyAlgorithm, ea: EncryptionAlgorithm) -> DecoderKeyInputs:
    return DecoderKeyInputs(
        key_algorithm=key_algorithm,
        pan="600727000000000009",
        supply_group_code=201457,
        tariff_index=1,
        key_revision_number=1,
        key_type=KeyType.UNIQUE,
        base_date=BaseDate.Y2014,
        encryption_algorithm=ea,
    )


def _whole(key_algorithm: KeyAlgorithm, ea: EncryptionAlgorithm, vending_key: bytes) -> Callable[[], str]:
    def make() -> str:
        key = derive_decoder_key(_inputs(key_algorithm, ea), vending_key)
        return credit_token(key, ea, TABLES, 0, 5, TID, UNITS_TENTHS)

    return make


def _read(ea: EncryptionAlgorithm) -> Callable[[], object]:
    key = derive_decoder_key(_inputs(KeyAlgorithm.DKGA04, ea), VENDING_KEY_04)
    token = credit_token(key, ea, TABLES, 0, 5, TID, UNITS_TENTHS)
    return lambda: decode(token, key, ea, TABLES)


def main() -> None:
    """Print the medians."""
    sta, misty1 = EncryptionAlgorithm.STA, EncryptionAlgorithm.MISTY1
    cases: dict[str, Callable[[], object]] = {
        "derive and mint, DKGA02 EA07": _whole(KeyAlgorithm.DKGA02, sta, VENDING_KEY_02),
        "derive and mint, DKGA04 EA07": _whole(KeyAlgorithm.DKGA04, sta, VENDING_KEY_04),
        "derive and mint, DKGA04 EA11": _whole(KeyAlgorithm.DKGA04, misty1, VENDING_KEY_04),
        "read, EA07": _read(sta),
        "read, EA11": _read(misty1),
    }
    for name, case in cases.items():
        seconds = statistics.median(timeit.repeat(case, number=CALLS, repeat=ROUNDS))
        print(f"{name:32s} {seconds / CALLS * 1e6:8.1f} us")


if __name__ == "__main__":
    main()
