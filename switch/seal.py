"""The MACs of one network's messages, by the security module: the keys never come here.

Where a network changes its key over the line, an answer is signed with the key that its request was right under. What was signed with
another one (a stored answer, or one that was made while the keys changed) is signed anew before it leaves; only its MAC differs.
"""

from collections import OrderedDict
from collections.abc import Mapping
from functools import lru_cache

from acquirers.dialect import Dialect
from acquirers.key_serial_number import read_ksn
from messages.dukpt import device_of
from messages.iso_message import IsoMessage
from messages.mac import Sealed, covered, splice_mac
from switch.session_keys import KEY_INVALID, KEY_RETIRED, SessionKeys
from vending.ports import MacKey, MacMismatch, ModuleOutcomeUnknown, ModuleRefused, ModuleUnavailable, SecurityModule
from vending.response_code import Refusal, ResponseCode

TERMINALS_MAX = 4096
"""How many terminals' key names are kept at hand; the one not heard of for longest goes."""
ANSWERS_MAX = 4096
"""Of how many answers it is known which key they were signed with; more are never in work. One that is not known is signed anew."""
_NOT_THIS_KEY = frozenset({KEY_INVALID, KEY_RETIRED})


class Seal:
    """Verifies what comes in and signs what goes out.

    Args:
        register_id: MAC register of the module.
        scheme: its algorithm.
        is_diversified: whether every terminal has a key of its own.
        sessions: the keys that the network changes over the line; None: it does not.
        devices: by terminal the key serial number of its DUKPT device, counter at 0; empty: there are none. Then an answer gets its MAC when
            it leaves, because only whoever asks says under which key; until then it has zeros.
    """

    def __init__(
        self,
        module: SecurityModule,
        dialect: Dialect,
        *,
        register_id: int,
        scheme: str,
        is_diversified: bool,
        sessions: SessionKeys | None = None,
        devices: Mapping[str, bytes] | None = None,
    ) -> None:
        self._module = module
        self._dialect = dialect
        self._register_id = register_id
        self._scheme = scheme
        self._is_diversified = is_diversified
        self._sessions = sessions
        self._devices = devices or {}
        self._is_signed_on_leaving = sessions is not None or bool(devices)
        self._signed_with: OrderedDict[bytes, MacKey] = OrderedDict()
        self._key = lru_cache(TERMINALS_MAX)(self._key_of)

    def _key_of(self, terminal_id: str) -> MacKey:
        diversifier = terminal_id if self._is_diversified else ""
        return MacKey(register_id=self._register_id, scheme=self._scheme, diversifier=diversifier)

    async def verify(
        self, message: IsoMessage, body: bytes, terminal_id: str, *, timeout_seconds: float | None = None
    ) -> MacKey:
        """Return the key under which the MAC is right. The module gets *timeout_seconds* at most for each key, and never more than always.

        Raises:
            Refusal: `MAC_MISMATCH`; `MODULE_UNAVAILABLE` when nobody can tell; `SYSTEM_ERROR` when the module refuses the key;
                `LEDGER_UNAVAILABLE` when nobody knows the network's keys.
        """
        sealed = self._dialect.sealed(message, body)
        if self._sessions is not None:
            return await self._sessions.find(lambda key: self._is_right(key, sealed, timeout_seconds))
        key = self._of_device(message, terminal_id) if self._devices else self._key(terminal_id)
        if not await self._is_right(key, sealed, timeout_seconds):
            raise Refusal(ResponseCode.MAC_MISMATCH)
        return key

    def _of_device(self, message: IsoMessage, terminal_id: str) -> MacKey:
        ksn, device = read_ksn(message), self._devices.get(terminal_id)
        if device is None or device_of(ksn) != device:
            raise Refusal(ResponseCode.MAC_MISMATCH, "the key serial number is of another device")
        return MacKey(register_id=self._register_id, scheme=self._scheme, diversifier="", ksn=ksn)

    async def _is_right(self, key: MacKey, sealed: Sealed, timeout_seconds: float | None) -> bool:
        try:
            await self._module.verify_mac(key, sealed.covered, sealed.mac, timeout_seconds=timeout_seconds)
        except MacMismatch:
            return False
        except (ModuleUnavailable, ModuleOutcomeUnknown) as error:
            raise Refusal(ResponseCode.MODULE_UNAVAILABLE, str(error)) from error
        except ModuleRefused as refused:
            if refused.status in _NOT_THIS_KEY:
                return False
            raise Refusal(ResponseCode.SYSTEM_ERROR, refused.meaning) from refused
        return True

    async def sign(self, answer: IsoMessage, terminal_id: str, *, key: MacKey | None = None) -> bytes:
        """Return the answer with its MAC, with *key* or, None, with the one that is in force.

        Raises:
            ModuleUnavailable, ModuleOutcomeUnknown, ModuleRefused: there is no MAC.
        """
        encoded = self._dialect.encode_for_mac(answer)
        if self._devices:
            return encoded if key is None else await self._sign(encoded, key)
        if self._sessions is None:
            return await self._sign(encoded, key or self._key(terminal_id))
        return await self._sign(encoded, key or await self._sessions.current())

    async def _sign(self, encoded_with_placeholder: bytes, key: MacKey) -> bytes:
        form = self._dialect.mac_form
        mac = await self._module.generate_mac(key, covered(encoded_with_placeholder, form))
        signed = splice_mac(encoded_with_placeholder, mac, form)
        if self._is_signed_on_leaving:
            self._signed_with[signed] = key
            if len(self._signed_with) > ANSWERS_MAX:
                self._signed_with.popitem(last=False)
        return signed

    async def for_request(self, answer: bytes, key: MacKey | None) -> bytes:
        """Return *answer* as whoever signed his request with *key* can verify it. One without a MAC stays as it is.

        Raises:
            Refusal: `IN_PROGRESS`: there is an answer, and no module to sign it anew.
        """
        if not self._is_signed_on_leaving or key is None or self._signed_with.pop(answer, None) == key:
            return answer
        if self._dialect.sealed_answer(answer) is None:
            return answer
        try:
            return await self._sign(answer, key)
        except (ModuleUnavailable, ModuleOutcomeUnknown, ModuleRefused) as error:
            raise Refusal(ResponseCode.IN_PROGRESS, f"sign anew: {error!r}") from error

    async def sign_if_possible(self, answer: IsoMessage, terminal_id: str, *, key: MacKey | None = None) -> bytes:
        """Return the answer with its MAC, or without one when no module can make it.

        Only for answers that say nothing final about money: a terminal takes an answer without a valid MAC as no answer.
        """
        try:
            return await self.sign(answer, terminal_id, key=key)
        except (ModuleUnavailable, ModuleOutcomeUnknown, ModuleRefused):
            return self._dialect.encode(answer)
