"""A network with session keys in memory: the real module's computation, books of one network, and partners' ends."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from twisted.internet.defer import ensureDeferred
from twisted.python.failure import Failure

from messages.key_wrapping import unwrap
from messages.security_module import MacScheme
from security_module.macs import MacBook, MacRefused
from security_module.registers import MacRegister
from security_module.session_keys import SessionKeys as ModuleKeys
from switch.metrics import Metrics
from switch.session_keys import KeyRules, SessionKeys
from tests.switch.fakes import Fake
from tests.switch.sale_bench import NOW
from vending.ports import MacKey, MacMismatch, ModuleRefused
from vending.secret import Secret
from vending.session_key import (
    STATIC_GENERATION,
    ConfirmKey,
    KeptKey,
    KeyItem,
    KeyOrigin,
    KeysSeen,
    KeyState,
    LookAtKeys,
    SessionKey,
)

ZONE, STATIC, OVERLAP_SECONDS = 14, 12, 600
ZONE_KEY = Secret(bytes.fromhex("0123456789ABCDEFFEDCBA9876543210"))
STATIC_NAME = MacKey(register_id=STATIC, scheme=MacScheme.X9_19, diversifier="")


def _register(register_id: int, key: bytes, *, is_zone: bool = False) -> MacRegister:
    return MacRegister(
        register_id=register_id,
        scheme=MacScheme.X9_19,
        is_diversified=False,
        is_test=True,
        key=Secret(key),
        is_zone=is_zone,
    )


REGISTERS = {
    ZONE: _register(ZONE, ZONE_KEY.reveal(), is_zone=True),
    STATIC: _register(STATIC, bytes.fromhex("1032547698BADCFE0123456789ABCDEF")),
}


@dataclass
class Clock:
    """Both clocks of a process, and the module's."""

    now: datetime = NOW

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)


class MemoryBooks:
    """What the ledger keeps of one network's keys, by the rules of `ledger.session_keys`."""

    def __init__(self) -> None:
        self.seen = KeysSeen()

    def do(self, item: KeyItem) -> KeysSeen:
        """Do one item."""
        seen = self.seen
        if isinstance(item, LookAtKeys):
            return seen
        if isinstance(item, ConfirmKey):
            self._confirm(item)
        elif item.generation == seen.highest + 1:
            others = [key for key in seen.offered if key.origin is not item.origin]
            kept = KeptKey(
                generation=item.generation,
                origin=item.origin,
                state=KeyState.OFFERED,
                key=item.key,
                changed_at=item.at,
            )
            self.seen = replace(seen, highest=item.generation, offered=(kept, *others))
        return self.seen

    def _confirm(self, item: ConfirmKey) -> None:
        seen = self.seen
        before = STATIC_GENERATION if seen.in_force is None else seen.in_force.generation
        found = [key for key in seen.offered if key.generation == item.generation]
        if found and before == item.retired_generation:
            retired = KeptKey(
                generation=before,
                origin=KeyOrigin.STATIC if seen.in_force is None else seen.in_force.origin,
                state=KeyState.RETIRED,
                key=item.retired,
                changed_at=item.at,
                honoured_until=item.honoured_until,
            )
            self.seen = replace(
                seen,
                in_force=replace(found[0], state=KeyState.IN_FORCE, changed_at=item.at),
                offered=tuple(key for key in seen.offered if key.generation > item.generation),
                retired=retired,
            )


class MemoryModule:
    """The module's real keys behind questions that a test can have fail."""

    def __init__(self, clock: Clock) -> None:
        self.keys = ModuleKeys(REGISTERS, lambda: int(clock.now.timestamp() * 1000))
        self.macs = MacBook(REGISTERS)
        self.asking: Fake[Callable[[], Any], Any] = Fake("module", [], lambda work: work())

    def make_session_key(self, zone_register_id: int, generation: int) -> Any:
        """See `vending.session_key.SessionKeyModule`."""
        return self._ask(lambda: self.keys.make(zone_register_id, generation))

    def take_session_key(self, zone_register_id: int, generation: int, wrapped: bytes, kcv: str) -> Any:
        """See there."""
        return self._ask(lambda: self.keys.take(zone_register_id, generation, wrapped, kcv))

    def retire_key(self, zone_register_id: int, key: MacKey, seconds: int) -> Any:
        """See there."""
        return self._ask(lambda: self.keys.retire(zone_register_id, key, seconds))

    def mac(self, key: MacKey, data: bytes) -> bytes:
        """Compute a MAC under a key as the switch names it."""
        return (self.keys if key.session else self.macs).generate(key, data)

    def verify_mac(self, key: MacKey, data: bytes, mac: bytes, *, timeout_seconds: float | None = None) -> Any:
        """See `vending.ports.SecurityModule`."""

        def compare() -> None:
            if self.mac(key, data) != mac:
                raise MacMismatch

        return self._ask(compare)

    def generate_mac(self, key: MacKey, data: bytes) -> Any:
        """See there."""
        return self._ask(lambda: self.mac(key, data))

    def _ask(self, work: Callable[[], Any]) -> Any:
        def refusing() -> Any:
            try:
                return work()
            except MacRefused as refused:
                raise ModuleRefused(refused.status.code, refused.status.meaning) from None

        return self.asking.submit(refusing)


class Process:
    """One switch process's view of the network."""

    def __init__(self, books: MemoryBooks, module: MemoryModule, clock: Clock) -> None:
        self.step: Fake[KeyItem, KeysSeen] = Fake("books", [], books.do)
        self.module = module
        self.metrics = Metrics()
        self.keys = SessionKeys(
            KeyRules(
                acquirer_id="red",
                static=STATIC_NAME,
                zone_register_id=ZONE,
                overlap_seconds=OVERLAP_SECONDS,
                age_warning_seconds=3600,
            ),
            step=self.step,
            module=module,
            metrics=self.metrics.acquirer("red"),
            now=lambda: clock.now,
            monotonic=lambda: clock.now.timestamp(),
        )

    def find(self, signing: MacKey) -> MacKey:
        """Take a message that the partner signed with *signing*; raises as `SessionKeys.find`."""
        mac = self.module.mac(signing, b"message")

        async def is_right(key: MacKey) -> bool:
            try:
                return self.module.mac(key, b"message") == mac
            except MacRefused:
                return False

        found: MacKey = result(self.keys.find(is_right))
        return found

    def sample(self, name: str) -> float | None:
        """One metric of the network."""
        return self.metrics.registry.get_sample_value(f"eudora_{name}", {"acquirer": "red"})


def name(key: SessionKey) -> MacKey:
    """How the module is told of a session key."""
    return MacKey(register_id=ZONE, scheme=MacScheme.X9_19, diversifier="", session=key.token)


def octets_of(key: SessionKey) -> bytes:
    """What the partner makes of a key of ours."""
    return unwrap(MacScheme.X9_19, ZONE_KEY, key.wrapped, key.kcv).reveal()


def result(work: Any) -> Any:
    """Return what *work* came to, which waits for nothing, or raise it."""
    results: list[Any] = []
    ensureDeferred(work).addBoth(results.append)
    (outcome,) = results
    if isinstance(outcome, Failure):
        outcome.raiseException()
    return outcome
