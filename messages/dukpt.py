"""DUKPT: how the key of one message follows from a base key and the key serial number (KSN) that comes with the message. Pure.

A KSN is the name of a device and a counter. TDES: 10 octets, the last 21 bits count. AES: 12 octets, the last 32 bits count.

Sources: TDES: ANSI X9.24-1:2009, annex A, by `pydukpt`. AES-128: ANSI X9.24-3:2017, section 6.3.
"""

from dataclasses import dataclass, field

import pydukpt
from Crypto.Cipher import AES

from vending.ports import MacScheme
from vending.secret import Secret

KSN_OCTETS = {MacScheme.X9_19: 10, MacScheme.AES_CMAC: 12}
"""By the algorithm of the MAC, which is that of the derivation."""
KSN_OCTETS_MAX = 12

_COUNTER_BITS = {10: 21, 12: 32}
_ONES_MAX = {10: pydukpt.MAX_COUNTER_ONE_BITS, 12: 16}
_DEVICE_OCTETS = 8
_KEY_DERIVATION, _INITIAL_KEY, _MAC_GENERATION, _MAC_VERIFICATION = 0x8000, 0x8001, 0x2000, 0x2001
"""Key usages of ANSI X9.24-3:2017, table 2, as the device sees them: it generates requests and verifies answers."""


class KeysExhausted(Exception):
    """A device has used its last counter and must be given a new initial key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageKeys:
    """The MAC keys of one message, 16 octets each: of the request, and of its answer."""

    request: Secret[bytes] = field(repr=False)
    response: Secret[bytes] = field(repr=False)


def counter_of(ksn: bytes) -> int:
    """Return the counter of a KSN of either length."""
    return int.from_bytes(ksn, "big") & _mask(ksn)


def device_of(ksn: bytes) -> bytes:
    """Return the KSN with its counter at 0: the name of the device."""
    return (int.from_bytes(ksn, "big") & ~_mask(ksn)).to_bytes(len(ksn), "big")


def is_of_message(ksn: bytes) -> bool:
    """Whether a device sends a message with this counter: not 0, and with as few ones as the standard allows."""
    return 1 <= counter_of(ksn).bit_count() <= _ONES_MAX[len(ksn)]


def next_ksn(ksn: bytes) -> bytes:
    """Return the KSN of the next message of a device. Raises `KeysExhausted`."""
    counter = counter_of(ksn) + 1
    while counter.bit_count() > _ONES_MAX[len(ksn)]:
        counter += counter & -counter  # what lies between has as many ones and more
    if counter > _mask(ksn):
        raise KeysExhausted
    return (int.from_bytes(device_of(ksn), "big") | counter).to_bytes(len(ksn), "big")


def initial_key(base_key: Secret[bytes], ksn: bytes) -> Secret[bytes]:
    """Return the initial key, 16 octets, of the device of a KSN; *base_key* has 16 octets."""
    if len(ksn) == KSN_OCTETS[MacScheme.X9_19]:
        return Secret(pydukpt.derive_ipek(base_key.reveal(), ksn))
    return Secret(_derive(base_key.reveal(), _INITIAL_KEY, ksn[:_DEVICE_OCTETS]))


def message_keys(of_device: Secret[bytes], ksn: bytes) -> MessageKeys:
    """Return the keys of the message with *ksn* from the initial key of its device."""
    if len(ksn) == KSN_OCTETS[MacScheme.X9_19]:
        key = pydukpt.derive_key(of_device.reveal(), ksn)
        request, response = pydukpt.mac_request_key(key), pydukpt.mac_response_key(key)
    else:
        key = derivation_key(of_device, ksn).reveal()
        request, response = (_derive(key, usage, ksn[4:]) for usage in (_MAC_GENERATION, _MAC_VERIFICATION))
    return MessageKeys(request=Secret(request), response=Secret(response))


def derivation_key(of_device: Secret[bytes], ksn: bytes) -> Secret[bytes]:
    """AES: return the intermediate derivation key: one derivation for each one of the counter, from the left."""
    key, counter, taken = of_device.reveal(), counter_of(ksn), 0
    for place in reversed(range(_COUNTER_BITS[len(ksn)])):
        if counter >> place & 1:
            taken |= 1 << place
            key = _derive(key, _KEY_DERIVATION, ksn[4:_DEVICE_OCTETS] + taken.to_bytes(4, "big"))
    return Secret(key)


def _derive(key: bytes, usage: int, context: bytes) -> bytes:
    """One AES block: version 1, block 1, usage, AES-128, 128 bits, and 8 octets that name what the key is for."""
    data = b"\x01\x01" + usage.to_bytes(2, "big") + b"\x00\x02\x00\x80" + context
    return AES.new(key, AES.MODE_ECB).encrypt(data)


def _mask(ksn: bytes) -> int:
    return (1 << _COUNTER_BITS[len(ksn)]) - 1
