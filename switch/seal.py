"""The MACs of one network's messages, by the security module: the keys never come here."""

from functools import lru_cache

from acquirers.dialect import Dialect
from messages.iso_message import IsoMessage
from messages.mac import covered, splice_mac
from vending.ports import MacKey, MacMismatch, ModuleOutcomeUnknown, ModuleRefused, ModuleUnavailable, SecurityModule
from vending.response_code import Refusal, ResponseCode

TERMINALS_MAX = 4096
"""How many terminals' key names are kept at hand; the one not heard of for longest goes."""


class Seal:
    """Verifies what comes in and signs what goes out.

    Args:
        register_id: MAC register of the module.
        scheme: its algorithm.
        is_diversified: whether every terminal has a key of its own.
    """

    def __init__(
        self, module: SecurityModule, dialect: Dialect, *, register_id: int, scheme: str, is_diversified: bool
    ) -> None:
        self._module = module
        self._dialect = dialect
        self._register_id = register_id
        self._scheme = scheme
        self._is_diversified = is_diversified

        self._key = lru_cache(TERMINALS_MAX)(self._key_of)

    def _key_of(self, terminal_id: str) -> MacKey:
        diversifier = terminal_id if self._is_diversified else ""
        return MacKey(register_id=self._register_id, scheme=self._scheme, diversifier=diversifier)

    async def verify(
        self, message: IsoMessage, body: bytes, terminal_id: str, *, timeout_seconds: float | None = None
    ) -> None:
        """Return if the MAC is right. The module gets *timeout_seconds* at most, and never more than it is always given.

        Raises:
            Refusal: `MAC_MISMATCH`; `MODULE_UNAVAILABLE` when nobody can tell; `SYSTEM_ERROR` when the module refuses the key.
        """
        sealed = self._dialect.sealed(message, body)
        try:
            await self._module.verify_mac(
                self._key(terminal_id), sealed.covered, sealed.mac, timeout_seconds=timeout_seconds
            )
        except MacMismatch:
            raise Refusal(ResponseCode.MAC_MISMATCH) from None
        except (ModuleUnavailable, ModuleOutcomeUnknown) as error:
            raise Refusal(ResponseCode.MODULE_UNAVAILABLE, str(error)) from error
        except ModuleRefused as refused:
            raise Refusal(ResponseCode.SYSTEM_ERROR, refused.meaning) from refused

    async def sign(self, answer: IsoMessage, terminal_id: str) -> bytes:
        """Return the answer with its MAC.

        Raises:
            ModuleUnavailable, ModuleOutcomeUnknown, ModuleRefused: there is no MAC.
        """
        encoded, form = self._dialect.encode_for_mac(answer), self._dialect.mac_form
        mac = await self._module.generate_mac(self._key(terminal_id), covered(encoded, form))
        return splice_mac(encoded, mac, form)

    async def sign_if_possible(self, answer: IsoMessage, terminal_id: str) -> bytes:
        """Return the answer with its MAC, or without one when no module can make it.

        Only for answers that say nothing final about money: a terminal takes an answer without a valid MAC as no answer.
        """
        try:
            return await self.sign(answer, terminal_id)
        except (ModuleUnavailable, ModuleOutcomeUnknown, ModuleRefused):
            return self._dialect.encode(answer)
