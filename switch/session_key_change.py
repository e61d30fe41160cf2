"""The change of a network's session key (0800 with code 161, 1804 with function 811), in the answering direction.

The partner asks for a key, or gives one. Either way the key is written down before the answer leaves, and comes into force with the first
message that is right under it; so a lost answer, a killed process or a module that goes away never leaves the two ends with different keys.
"""

from acquirers.calls import SessionKeyCall
from acquirers.dialect import Dialect
from acquirers.session_key import KeyOffer
from switch.answered import Answered
from switch.seal import Seal
from switch.session_keys import SessionKeys
from vending.ports import MacKey, ModuleOutcomeUnknown, ModuleRefused, ModuleUnavailable
from vending.response_code import Refusal, ResponseCode


class SessionKeyChange:
    """The use case of one network; ``keys`` None: its key is never changed over the line."""

    def __init__(self, *, dialect: Dialect, seal: Seal, keys: SessionKeys | None) -> None:
        self._dialect = dialect
        self._seal = seal
        self._keys = keys

    def row(self) -> dict[str, object] | None:
        """Say which session key is in force; None: the network has none."""
        return None if self._keys is None else self._keys.row()

    async def look(self) -> None:
        """Have the keys known as they are now. Raises `Refusal` (`LEDGER_UNAVAILABLE`)."""
        if self._keys is not None:
            await self._keys.look()

    async def change(self, call: SessionKeyCall, key: MacKey) -> Answered:
        """Answer a change of keys whose MAC was right under *key*.

        Raises:
            Refusal: `UNSUPPORTED_PROCESSING_CODE`; `MAC_MISMATCH` under a key that is only honoured until its overlap ends: it may be
                an old message; and what `SessionKeys.make` and `SessionKeys.take` raise.
        """
        keys = self._keys
        if keys is None:
            raise Refusal(ResponseCode.UNSUPPORTED_PROCESSING_CODE, "this network has no session keys")
        await keys.look()
        try:
            await keys.confirm(key)
        except (ModuleUnavailable, ModuleOutcomeUnknown, ModuleRefused) as error:
            raise Refusal(ResponseCode.MODULE_UNAVAILABLE, f"confirm: {error!r}") from error
        if key != keys.name_of((await keys.seen()).in_force):
            raise Refusal(ResponseCode.MAC_MISMATCH, "a change of keys under a key that is not in force")
        given = call.given
        if given is None:
            kept = await keys.make()
            offer = KeyOffer(generation=kept.generation, kcv=kept.key.kcv, wrapped=kept.key.wrapped)
        else:
            kept = await keys.take(given.generation, given.wrapped, given.kcv)
            offer = KeyOffer(generation=kept.generation, kcv=kept.key.kcv)
        answer = self._dialect.answer_session_key(call.message, offer)
        body = await self._seal.sign_if_possible(answer, call.terminal_id, key=key)
        return Answered(code=ResponseCode.APPROVED, body=body)
