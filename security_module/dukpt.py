"""MACs of terminals with a key for each message: DUKPT, TDES or AES.

The register holds the base derivation key. The key serial number (KSN) that comes with a message names the device and its counter, and the key
follows from these: the module keeps nothing, so every module with the register knows every key, and a restart loses nothing. A request is
verified with the request key of its message and its answer signed with the response key, so neither can be played back as the other.
"""

import hmac
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from messages.dukpt import KSN_OCTETS, initial_key, is_of_message, message_keys
from messages.security_module import MacKey, MacScheme, Status
from security_module.macs import AesCmac, MacRefused, RetailMac, TerminalMac
from security_module.registers import MacRegister

READY_MAX = 4096
"""Keys of messages kept ready: that of a request is wanted again for its answer, and after that for repeats only."""


@dataclass(frozen=True, slots=True)
class _Pair:
    request: TerminalMac
    response: TerminalMac


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
        register = self._registers.get(key.register_id)
        if register is None:
            raise MacRefused(Status.UNKNOWN_REGISTER)
        if not register.is_dukpt or register.scheme != key.scheme:
            raise MacRefused(Status.REGISTER_CONTRADICTION)
        name = (key.register_id, key.ksn)
        found = self._ready.get(name)
        if found is None:
            found = self._ready[name] = _make(register, key.ksn)
            if len(self._ready) > READY_MAX:
                self._ready.popitem(last=False)
        return found


def _make(register: MacRegister, ksn: bytes) -> _Pair:
    if len(ksn) != KSN_OCTETS[register.scheme] or not is_of_message(ksn):
        raise MacRefused(Status.KEY_INVALID)  # a counter that no device has
    keys = message_keys(initial_key(register.key, ksn), ksn)
    mac = RetailMac if register.scheme == MacScheme.X9_19 else AesCmac
    return _Pair(request=mac(keys.request), response=mac(keys.response))
