"""Decoder keys: what makes a token open on one meter, under one supply group, key revision and tariff index only."""

import hmac
from dataclasses import dataclass, replace

from Crypto.Cipher import DES

from sts.codes import BaseDate, EncryptionAlgorithm, KeyAlgorithm, KeyType
from sts.errors import FieldRangeError, UnsupportedError, require_range
from sts.pan import require_pan_digits

DKGA02_VENDING_KEY_OCTETS = 8
DKGA04_VENDING_KEY_OCTETS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderKeyInputs:
    """Everything public that a decoder key depends on.

    Attributes:
        key_algorithm: DKGA02 or DKGA04.
        pan: the meter's 18 digits, with both check digits (which are not verified here: see `sts.pan.parse_pan`).
        supply_group_code: SGC, 0 to 999 999.
        tariff_index: TI, 0 to 99.
        key_revision_number: KRN, 1 to 9.
        key_type: KT; COMMON is refused.
        base_date: enters DKGA04 only.
        encryption_algorithm: DKGA02 makes STA keys only.

    Raises:
        FieldRangeError: when made with a value out of range.
        UnsupportedError: when made for a combination that does not exist.
    """

    key_algorithm: KeyAlgorithm
    pan: str
    supply_group_code: int
    tariff_index: int
    key_revision_number: int
    key_type: KeyType
    base_date: BaseDate
    encryption_algorithm: EncryptionAlgorithm

    def __post_init__(self) -> None:
        require_pan_digits(self.pan)
        require_range("supply group code", self.supply_group_code, 0, 999_999)
        require_range("tariff index", self.tariff_index, 0, 99)
        require_range("key revision number", self.key_revision_number, 1, 9)
        if self.key_type is KeyType.COMMON:
            raise UnsupportedError("common decoder keys (KT 3) are for magnetic-card meters")
        if self.key_algorithm is KeyAlgorithm.DKGA02 and self.encryption_algorithm is not EncryptionAlgorithm.STA:
            raise UnsupportedError("DKGA02 makes 64-bit keys, which only EA07 takes")


def derive_decoder_key(inputs: DecoderKeyInputs, vending_key: bytes) -> bytes:
    """Derive the decoder key of one meter.

    Args:
        inputs: the public part.
        vending_key: 8 octets (DKGA02) or 20 octets (DKGA04); it is not kept.

    Returns:
        8 octets for EA07, 16 for EA11.

    Raises:
        FieldRangeError: the vending key has the wrong length.

    Source: IEC 62055-41 clause 6.5.3; NIST SP 800-108 clause 5.2.
    """
    if inputs.key_algorithm is KeyAlgorithm.DKGA02:
        return _derive_dkga02(inputs, vending_key)
    return _derive_dkga04(inputs, vending_key)


def _derive_dkga02(inputs: DecoderKeyInputs, vending_key: bytes) -> bytes:
    if len(vending_key) != DKGA02_VENDING_KEY_OCTETS:
        raise FieldRangeError(f"a DKGA02 vending key has {DKGA02_VENDING_KEY_OCTETS} octets, not {len(vending_key)}")
    # The low 16 digits of IIN and DRN, without the check digit that ends the PAN.
    pan_block = int(inputs.pan[1:17], 16)
    control_block = int(
        f"{inputs.key_type:1d}{inputs.supply_group_code:06d}{inputs.tariff_index:02d}{inputs.key_revision_number:1d}FFFFFF",
        16,
    )
    block = pan_block ^ control_block
    # Single DES is what the standard's older derivation is made of; new registers take DKGA04.
    cipher = DES.new(vending_key, DES.MODE_ECB)  # noqa: S304
    encrypted = int.from_bytes(cipher.encrypt(block.to_bytes(8, "big")), "big")
    return (encrypted ^ block ^ int.from_bytes(vending_key, "big")).to_bytes(8, "big")


def dkga04_message(inputs: DecoderKeyInputs) -> bytes:
    """Build what DKGA04 authenticates: two groups of four length-prefixed items in ASCII digits, then the key's bit length."""
    before, behind = _dkga04_around_pan(inputs)
    return before + inputs.pan.encode("ascii") + behind


def _dkga04_around_pan(inputs: DecoderKeyInputs) -> tuple[bytes, bytes]:
    key_bits = 8 * inputs.encryption_algorithm.key_octets
    before = (
        f"\x04\x0204\x02{inputs.base_date.field}\x02{inputs.encryption_algorithm:02d}\x02{inputs.tariff_index:02d}\x00"
        f"\x04\x06{inputs.supply_group_code:06d}\x01{inputs.key_type:1d}\x01{inputs.key_revision_number:1d}\x12"
    )
    return before.encode("ascii"), key_bits.to_bytes(4, "big")


class DecoderKeys:
    """The decoder keys of many meters that differ in their PAN only: what they have in common is checked and set up once."""

    __slots__ = ("_around", "_inputs", "_keyed", "_octets", "_vending_key")

    def __init__(self, inputs: DecoderKeyInputs, vending_key: bytes) -> None:
        """Set up as `derive_decoder_key` would be asked; the PAN in *inputs* is of any of the meters."""
        self._inputs, self._vending_key = inputs, vending_key
        self._octets = inputs.encryption_algorithm.key_octets
        self._around = _dkga04_around_pan(inputs)
        self._keyed: hmac.HMAC | None = None
        if inputs.key_algorithm is KeyAlgorithm.DKGA04:
            _require_dkga04_key(vending_key)
            self._keyed = hmac.new(vending_key, digestmod="sha256")

    def of(self, pan: str) -> bytes:
        """Return what `derive_decoder_key` returns for *pan*; `FieldRangeError` if it is not 18 digits."""
        if self._keyed is None:
            return derive_decoder_key(replace(self._inputs, pan=pan), self._vending_key)
        require_pan_digits(pan)
        keyed = self._keyed.copy()
        keyed.update(pan.encode("ascii").join(self._around))
        return keyed.digest()[: self._octets]

    def __repr__(self) -> str:
        return "DecoderKeys(***)"


def _require_dkga04_key(vending_key: bytes) -> None:
    if len(vending_key) != DKGA04_VENDING_KEY_OCTETS:
        raise FieldRangeError(f"a DKGA04 vending key has {DKGA04_VENDING_KEY_OCTETS} octets, not {len(vending_key)}")


def _derive_dkga04(inputs: DecoderKeyInputs, vending_key: bytes) -> bytes:
    _require_dkga04_key(vending_key)
    digest = hmac.digest(vending_key, dkga04_message(inputs), "sha256")
    return digest[: inputs.encryption_algorithm.key_octets]
