"""MACs of terminals with a key for each message: TDES DUKPT.

The register holds the base derivation key. The key serial number (KSN) that comes with a message names the device and its counter, and the key
follows from these: the module keeps nothing, so every module with the register knows every key, and a restart loses nothing. A request is
verified with the request variant of its key and its answer signed with the response variant, so neither can be played back as the other.

Source: ANSI X9.24-1:2009, annex A, by `pydukpt`.
"""

import hmac
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from pydukpt import (
    MAX_COUNTER_ONE_BITS,
    derive_ipek,
    derive_key,
    ksn_counter,
    mac_request_key,
    mac_response_key,
)

from messages.security_module import MacKey, Status
from security_module.macs import MacRefused, RetailMac
from security_module.registers import MacRegister
from vending.secret import Secret

READY_MAX = 4096
"""Keys of messages kept ready: that of a request is wanted again for its answer, and after that for repeats only."""


@dataclass(frozen=True, slots=True)
class _Pair:
    request: RetailMac
    response: RetailMac


def derive_initial_key(register: MacRegister, ksn: bytes) -> Secret[bytes]:
    """Return the initial key (IPEK, 16 octets) of the device that *ksn* (10 octets) names; its counter does not matter."""
    return Secret(derive_ipek(register.key.reveal(), ksn))


class DukptMacs:
    """Makes and compares MACs under the keys of devices."""

    def __init__(self, registers: Mapping[int, MacRegister]) -> None:
        self._registers = registers
        self._ready: OrderedDict[tuple[int, bytes], _Pair] = OrderedDict()

    def generate(self, key: MacKey, data: bytes) -> bytes:
        """Return 8 octets over *data*, an answer to the request that had the KSN of *key*; `MacRefused` if there is no such key."""
        return self._find(key).response.compute(data)

    def is_right(self, key: MacKey, data: bytes, mac: bytes) -> bool:
        """Compare the MAC of a request in constant time; `MacRefused` likewise."""
        return hmac.compare_digest(self._find(key).request.compute(data), mac)

    def _find(self, key: MacKey) -> _Pair:
        name = (key.register_id, key.ksn)
        found = self._ready.get(name)
        if found is None:
            found = self._ready[name] = self._make(key)
            if len(self._ready) > READY_MAX:
                self._ready.popitem(last=False)
        return found

    def _make(self, key: MacKey) -> _Pair:
        register = self._registers.get(key.register_id)
        if register is None:
            raise MacRefused(Status.UNKNOWN_REGISTER)
        if not register.is_dukpt or register.scheme != key.scheme:
            raise MacRefused(Status.REGISTER_CONTRADICTION)
        if not 1 <= ksn_counter(key.ksn).bit_count() <= MAX_COUNTER_ONE_BITS:
            raise MacRefused(Status.KEY_INVALID)  # a counter that no device has
        of_message = derive_key(derive_initial_key(register, key.ksn).reveal(), key.ksn)
        return _Pair(
            request=RetailMac(Secret(mac_request_key(of_message))),
            response=RetailMac(Secret(mac_response_key(of_message))),
        )
