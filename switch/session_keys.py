"""The session keys of one network in one process: under which a message may be, and under which answers are signed.

The ledger says which keys there are, the module what is right under them. What is known here is at most `PICTURE_SECONDS` old, so a key that
another process retired is not used longer than that; and before a MAC is called wrong, the ledger is asked for a key that is newer.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure

from ledger.errors import LedgerOutcomeUnknown, LedgerUnavailable
from switch.batching import QueueFull
from switch.log import Event, log
from switch.metrics import AcquirerMetrics
from switch.steps import Step
from vending.ports import MacKey, ModuleOutcomeUnknown, ModuleRefused, ModuleUnavailable
from vending.response_code import Refusal, ResponseCode
from vending.session_key import (
    STATIC_GENERATION,
    ConfirmKey,
    KeptKey,
    KeyItem,
    KeyOrigin,
    KeysSeen,
    KeyState,
    LookAtKeys,
    OfferKey,
    SessionKey,
    SessionKeyModule,
    usable,
)

PICTURE_SECONDS = 30.0
"""How old our picture of a network's keys may be: one look in half a minute costs nothing. Half the overlap where that is shorter, so that no
process honours a key for longer than the overlap."""
LOOK_AGAIN_SECONDS = 1.0
"""Wrong MACs make us look at the ledger so often at most; the peer must not be able to keep it busy."""

KeyStep = Step[KeyItem, KeysSeen]
IsRight = Callable[[MacKey], Awaitable[bool]]
"""Whether a message is right under a key; raises `Refusal` when nobody can tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRules:
    """What the configuration says of a network's keys.

    Attributes:
        acquirer_id: the network.
        static: the register's own key, in force before the first change.
        zone_register_id: MAC register of the module with the zone key.
        overlap_seconds: how long the key before is honoured after a change.
        age_warning_seconds: an older key is told of.
    """

    acquirer_id: str
    static: MacKey
    zone_register_id: int
    overlap_seconds: int
    age_warning_seconds: int


class SessionKeys:
    """The keys of one network.

    Args:
        rules: of the network.
        step: takes `vending.session_key.KeyItem`.
        module: makes, takes and retires keys.
        now: our clock, aware UTC.
        monotonic: a clock in seconds that never steps.
    """

    def __init__(
        self,
        rules: KeyRules,
        *,
        step: KeyStep,
        module: SessionKeyModule,
        metrics: AcquirerMetrics,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._rules = rules
        self._step = step
        self._module = module
        self._metrics = metrics
        self._now = now
        self._monotonic = monotonic
        self._seen: KeysSeen | None = None
        self._seen_at = 0.0
        self._picture_seconds = min(PICTURE_SECONDS, rules.overlap_seconds / 2)
        self._looked_again_at = -LOOK_AGAIN_SECONDS
        self._looking: list[Deferred[KeysSeen]] = []
        self._is_looking = False
        self._confirming: dict[int, list[Deferred[None]]] = {}
        self._told_of_age = STATIC_GENERATION
        metrics.watch_key_age(self.age_seconds)

    # --- for the seal -----------------------------------------------------------------------------------------------------

    async def find(self, is_right: IsRight) -> MacKey:
        """Return the key under which a message is right; the offered one comes into force by that, without holding up the message.

        Raises:
            Refusal: `MAC_MISMATCH`, `LEDGER_UNAVAILABLE`, or what *is_right* raises.
        """
        seen = await self.seen()
        tried: set[MacKey] = set()
        found = await self._find(seen, is_right, tried)
        if found is None and self._monotonic() - self._looked_again_at >= LOOK_AGAIN_SECONDS:
            self._looked_again_at = self._monotonic()
            found = await self._find(await self.look(), is_right, tried)
        if found is None:
            raise Refusal(ResponseCode.MAC_MISMATCH)
        kept, key = found
        if kept is not None and kept.state is KeyState.RETIRED:
            self._metrics.macs_under_old_key.inc()
        if kept is not None and kept.state is KeyState.OFFERED:
            ensureDeferred(self.confirm(key)).addErrback(self._not_confirmed)
        return key

    async def _find(
        self, seen: KeysSeen, is_right: IsRight, tried: set[MacKey]
    ) -> tuple[KeptKey | None, MacKey] | None:
        for kept in usable(seen, self._now()):
            key = self.name_of(kept)
            if key not in tried:
                tried.add(key)
                if await is_right(key):
                    return kept, key
        return None

    async def current(self) -> MacKey:
        """Return the key in force as far as is known here. It may be an older one: `switch.seal.Seal.for_request` looks at that.

        Raises:
            ModuleUnavailable: no key was ever known here and none can be looked up, so there is nothing to sign with.
        """
        try:
            seen = self._seen or await self.look()
        except Refusal as refusal:
            raise ModuleUnavailable(f"the keys are not known: {refusal.private_detail}") from refusal
        return self.name_of(seen.in_force)

    def name_of(self, kept: KeptKey | None) -> MacKey:
        """Return how the module is told of a key; None: the register's own."""
        if kept is None:
            return self._rules.static
        return MacKey(
            register_id=self._rules.zone_register_id,
            scheme=self._rules.static.scheme,
            diversifier="",
            session=kept.key.token,
        )

    # --- for the change of keys -------------------------------------------------------------------------------------------

    async def seen(self) -> KeysSeen:
        """Return the keys as they are known here, looked up if that is too long ago. Raises `Refusal` (`LEDGER_UNAVAILABLE`)."""
        if self._seen is not None and self._monotonic() - self._seen_at < self._picture_seconds:
            return self._seen
        return await self.look()

    async def confirm(self, key: MacKey) -> None:
        """Put *key* in force if it is the offered one: both ends have it. The key before ends after the overlap, by the module's clock.

        Raises:
            Refusal: `LEDGER_UNAVAILABLE`.
            ModuleUnavailable, ModuleRefused: it is still only offered; the next message under it tries again.
        """
        seen = await self.seen()
        offered = next((kept for kept in seen.offered if self.name_of(kept) == key), None)
        if offered is None:
            return
        waiting = self._confirming.get(offered.generation)
        if waiting is not None:
            done: Deferred[None] = Deferred()
            waiting.append(done)
            await done
            return
        self._confirming[offered.generation] = []
        try:
            now_seen = await self._put_in_force(offered, seen)
            if now_seen.in_force != seen.in_force and offered in now_seen.offered:
                # Another process changed the key before, so nothing was written; now the picture is right.
                await self._put_in_force(offered, now_seen)
        finally:
            # Whoever waited looks at what is known now; a failure is told to the one who tried.
            for each in self._confirming.pop(offered.generation):
                each.callback(None)

    async def _put_in_force(self, offered: KeptKey, seen: KeysSeen) -> KeysSeen:
        rules, at = self._rules, self._now()
        before = seen.in_force
        retired = await self._module.retire_key(rules.zone_register_id, self.name_of(before), rules.overlap_seconds)
        item = ConfirmKey(
            acquirer_id=rules.acquirer_id,
            generation=offered.generation,
            retired=retired,
            retired_generation=before.generation if before is not None else STATIC_GENERATION,
            honoured_until=at + timedelta(seconds=rules.overlap_seconds),
            at=at,
        )
        now_seen = await self._do(item)
        if now_seen.in_force is not None and now_seen.in_force.generation == offered.generation:
            self._metrics.session_key_changes.inc()
            log.info(
                Event.SESSION_KEY_IN_FORCE,
                acquirer_id=rules.acquirer_id,
                generation=offered.generation,
                kcv=offered.key.kcv,
                origin=offered.origin.value,
                overlap_seconds=rules.overlap_seconds,
            )
        return now_seen

    async def make(self) -> KeptKey:
        """Offer a key of ours: the one of ours that is offered already, else the next one.

        Raises:
            Refusal: `LEDGER_UNAVAILABLE`, `MODULE_UNAVAILABLE`, `SYSTEM_ERROR`; nothing was changed, or the same comes when asked again.
        """
        seen = await self.look()
        for kept in seen.offered:
            if kept.origin is KeyOrigin.OURS:
                return kept
        generation = seen.highest + 1
        made = await self._ask_module(self._module.make_session_key(self._rules.zone_register_id, generation))
        return await self._offer(generation, KeyOrigin.OURS, made)

    async def take(self, generation: int, wrapped: bytes, kcv: str) -> KeptKey:
        """Take the partner's key; the same again is the same.

        Raises:
            Refusal: `DUPLICATE_CONFLICT` if its generation is not the next one, `FORMAT_ERROR` if the module does not take it, and as `make`.
        """
        seen = await self.look()
        taken = await self._ask_module(
            self._module.take_session_key(self._rules.zone_register_id, generation, wrapped, kcv)
        )
        for kept in (*seen.offered, seen.in_force):
            if kept is not None and (kept.generation, kept.key.token) == (generation, taken.token):
                return kept
        if generation != seen.highest + 1:
            raise Refusal(ResponseCode.DUPLICATE_CONFLICT, f"key generation {generation}, {seen.highest} was offered")
        return await self._offer(generation, KeyOrigin.THEIRS, taken)

    async def _offer(self, generation: int, origin: KeyOrigin, key: SessionKey) -> KeptKey:
        item = OfferKey(
            acquirer_id=self._rules.acquirer_id, generation=generation, origin=origin, key=key, at=self._now()
        )
        all_offered = (await self._do(item)).offered
        offered = next((kept for kept in all_offered if kept.generation == generation), None)
        if offered is None or offered.key.token != key.token:
            raise Refusal(ResponseCode.IN_PROGRESS, "another key was offered at the same time")
        log.info(
            Event.SESSION_KEY_OFFERED,
            acquirer_id=self._rules.acquirer_id,
            generation=generation,
            kcv=key.kcv,
            origin=origin.value,
        )
        return offered

    async def _ask_module(self, asked: Awaitable[SessionKey]) -> SessionKey:
        try:
            return await asked
        except (ModuleUnavailable, ModuleOutcomeUnknown) as error:
            raise Refusal(ResponseCode.MODULE_UNAVAILABLE, str(error)) from error
        except ModuleRefused as refused:
            code = ResponseCode.FORMAT_ERROR if refused.status == KEY_INVALID else ResponseCode.SYSTEM_ERROR
            raise Refusal(code, refused.meaning) from refused

    # --- for people -------------------------------------------------------------------------------------------------------

    def age_seconds(self) -> float:
        """Return how long the key in force is in force; 0 while it is the register's own."""
        in_force = None if self._seen is None else self._seen.in_force
        return 0.0 if in_force is None else (self._now() - in_force.changed_at).total_seconds()

    def row(self) -> dict[str, object]:
        """Say which key is in force, for health and `eudora network list`."""
        in_force = None if self._seen is None else self._seen.in_force
        if in_force is None:
            return {"generation": STATIC_GENERATION, "kcv": None, "age_seconds": None}
        return {"generation": in_force.generation, "kcv": in_force.key.kcv, "age_seconds": int(self.age_seconds())}

    # --- inside -----------------------------------------------------------------------------------------------------------

    async def look(self) -> KeysSeen:
        """Ask the ledger; those who ask at the same time share one question. Raises `Refusal` (`LEDGER_UNAVAILABLE`)."""
        if self._is_looking:
            shared: Deferred[KeysSeen] = Deferred()
            self._looking.append(shared)
            return await shared
        self._is_looking = True
        try:
            seen = await self._do(LookAtKeys(acquirer_id=self._rules.acquirer_id))
        except BaseException:
            waiting, self._looking, self._is_looking = self._looking, [], False
            for each in waiting:
                each.errback(Failure(Refusal(ResponseCode.LEDGER_UNAVAILABLE, "session keys")))
            raise
        waiting, self._looking, self._is_looking = self._looking, [], False
        for each in waiting:
            each.callback(seen)
        return seen

    async def _do(self, item: KeyItem) -> KeysSeen:
        try:
            seen = await self._step.submit(item)
        except (QueueFull, LedgerUnavailable, LedgerOutcomeUnknown) as error:
            raise Refusal(ResponseCode.LEDGER_UNAVAILABLE, f"session keys: {error!r}") from error
        self._seen, self._seen_at = seen, self._monotonic()
        self._tell_age(seen)
        return seen

    def _tell_age(self, seen: KeysSeen) -> None:
        """Warn once of each key that is in force for too long."""
        if seen.in_force is None or seen.in_force.generation == self._told_of_age:
            return
        if self.age_seconds() > self._rules.age_warning_seconds:
            self._told_of_age = seen.in_force.generation
            log.warning(
                Event.SESSION_KEY_OLD,
                acquirer_id=self._rules.acquirer_id,
                generation=seen.in_force.generation,
                age_seconds=int(self.age_seconds()),
            )

    def _not_confirmed(self, failure: Failure) -> None:
        log.warning(
            Event.SESSION_KEY_NOT_IN_FORCE, acquirer_id=self._rules.acquirer_id, failure=failure.getErrorMessage()
        )


KEY_INVALID = "61"
"""The module's status of a key that is not what its check value says."""
KEY_RETIRED = "60"
"""Its status of a key whose overlap is over."""
