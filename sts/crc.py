"""The checksums of tokens and of the module line protocol: CRC-16 with the reflected polynomial 0xA001 in three dresses."""

POLYNOMIAL = 0xA001
CURRENCY_MARK = b"\x01"
"""What is appended to the seven octets of a currency token, so that it never passes for a unit token."""

_DATA_OCTETS = 7


def _row(octet: int) -> int:
    for _ in range(8):
        octet = octet >> 1 ^ (POLYNOMIAL if octet & 1 else 0)
    return octet


_TABLE = tuple(_row(octet) for octet in range(256))


def _crc16(data: bytes, register: int) -> int:
    for octet in data:
        register = register >> 8 ^ _TABLE[(register ^ octet) & 0xFF]
    return register


def crc16_arc(data: bytes) -> int:
    """CRC-16/ARC (register starts at zero), the checksum of the serial module protocols.

    >>> f"{crc16_arc(b'123456789'):04x}"
    'bb3d'
    """
    return _crc16(data, 0)


def crc16_sts(data: bytes) -> int:
    """The checksum of IEC 62055-41: the register starts at ones, and its low octet comes first.

    >>> f"{crc16_sts(bytes.fromhex('00004A2D900FF2')):04x}"
    '0ffa'
    """
    register = _crc16(data, 0xFFFF)
    return (register & 0xFF) << 8 | register >> 8


def crc16_sts_currency(data: bytes) -> int:
    """CRC_C, the checksum of currency tokens: `crc16_sts` of the data and one octet 0x01."""
    return crc16_sts(data + CURRENCY_MARK)


def token_crc(payload: int, *, is_currency: bool) -> int:
    """The checksum of a token's 50 bits of class, sub-class and body, padded with zeros on the left to 7 octets."""
    data = payload.to_bytes(_DATA_OCTETS, "big")
    return crc16_sts_currency(data) if is_currency else crc16_sts(data)
