"""The security module in memory: the real computation, the real log of what was minted, and unreliable ways to reach them."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from messages.security_module import RegisterCount, Status
from security_module.macs import MacBook
from security_module.mint_log import Candidate, MintLog
from security_module.minting import Mint
from sts.tables import load_tables
from tests.simulation import town
from tests.simulation.faults import CrashPoint, ModuleMode
from tests.simulation.process import Process
from tests.simulation.setting import Setting
from vending.engineering import KeyChangeRequest
from vending.ports import MacKey, MacMismatch, MintRequest, ModuleOutcomeUnknown, ModuleRefused, ModuleUnavailable
from vending.secret import Secret

TIMEOUT_SECONDS = 3.0
SLOW_SECONDS_MAX = 12.0

_Points = tuple[CrashPoint | None, CrashPoint | None, CrashPoint | None]
"""Before the module is asked, when it was asked, when its answer has come."""


class SimulatedModule:
    """What stays when a switch dies, and when the module itself is started again: its log.

    Attributes:
        mode: how it does now.
        minted: the digits handed out under each request id, the first time.
    """

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        registers = {town.VENDING_REGISTER: town.VENDING}
        self._mint = Mint(registers, load_tables())
        self._macs = MacBook({town.MAC_REGISTER: town.MAC})
        self._log = MintLog(Path(":memory:"), registers, lambda: setting.true_now)
        self.mode = ModuleMode.UP
        self.minted: dict[int, list[str]] = {}
        self.times_asked: Counter[int] = Counter()

    def counters(self) -> dict[int, RegisterCount]:
        """Return what was minted under each register."""
        return {count.register_id: count for count in self._log.counts()}

    def close(self) -> None:
        """Forget everything."""
        self._log.close()

    def mint(self, request: MintRequest) -> list[Secret[str]]:
        """Decide for ever, then compute."""
        weather = self._setting.weather
        is_refused = self.mode is ModuleMode.REFUSING or self._setting.happens(weather.module_refuses, "module refused")
        refusal = Status.VENDING_INHIBITED if is_refused else Status.OK
        (decision,) = self._log.decide([Candidate(request=request, refusal=refusal)])
        self.times_asked[request.request_id] += 1
        if decision.status is not Status.OK:
            raise ModuleRefused(decision.status.code, decision.status.meaning)
        tokens = self._mint.tokens(request)
        digits = [token.reveal() for token in tokens]
        if self.minted.setdefault(request.request_id, digits) != digits:
            self._setting.violation(f"the module gave other digits for sale {request.request_id}")
        return tokens

    def change_key(self, request: KeyChangeRequest) -> list[Secret[str]]:
        """Decide for ever, then compute."""
        (decision,) = self._log.decide([Candidate(request=request, refusal=Status.OK)])
        if decision.status is not Status.OK:
            raise ModuleRefused(decision.status.code, decision.status.meaning)
        return self._mint.key_change(request)

    def generate(self, key: MacKey, data: bytes) -> bytes:
        """Make a MAC."""
        return self._macs.generate(key, data)

    def verify(self, key: MacKey, data: bytes, mac: bytes) -> None:
        """Compare a MAC."""
        if not self._macs.is_right(key, data, mac):
            raise MacMismatch


class ModuleLink:
    """The module as one switch process reaches it; see `vending.ports.SecurityModule`."""

    def __init__(self, module: SimulatedModule, process: Process, setting: Setting) -> None:
        self._module = module
        self._process = process
        self._setting = setting

    def mint(self, request: MintRequest, *, timeout_seconds: float | None = None) -> Deferred[Sequence[Secret[str]]]:
        """See the port."""
        points = (CrashPoint.MINT_BEFORE, CrashPoint.MINT_ASKED, CrashPoint.MINTED)
        return self._ask(lambda: self._module.mint(request), points, timeout_seconds)

    def change_key(
        self, request: KeyChangeRequest, *, timeout_seconds: float | None = None
    ) -> Deferred[Sequence[Secret[str]]]:
        """See the port."""
        return self._ask(lambda: self._module.change_key(request), (None, None, None), timeout_seconds)

    def generate_mac(self, key: MacKey, data: bytes) -> Deferred[bytes]:
        """See the port."""
        return self._ask(lambda: self._module.generate(key, data), (CrashPoint.SIGN_BEFORE, None, CrashPoint.SIGNED))

    def verify_mac(
        self, key: MacKey, data: bytes, mac: bytes, *, timeout_seconds: float | None = None
    ) -> Deferred[None]:
        """See the port."""
        points = (None, None, CrashPoint.MAC_VERIFIED)
        return self._ask(lambda: self._module.verify(key, data, mac), points, timeout_seconds)

    def _ask(self, work: Callable[[], Any], points: _Points, timeout_seconds: float | None = None) -> Deferred[Any]:
        setting, process, mode = self._setting, self._process, self._module.mode
        before, asked, seen = points
        timeout = min(TIMEOUT_SECONDS, max(0.0, TIMEOUT_SECONDS if timeout_seconds is None else timeout_seconds))
        result = process.promise()
        if process.dies_at(before):
            return result
        if mode is ModuleMode.DOWN:
            process.clock.callLater(setting.latency(), result.errback, ModuleUnavailable("no link"))
            return result
        timer = process.clock.callLater(timeout, result.errback, ModuleOutcomeUnknown("no answer in time"))
        weather = setting.weather
        if mode is ModuleMode.SILENT or setting.happens(weather.module_request_lost, "module request lost"):
            return result
        is_answer_lost = mode is ModuleMode.MUTE or setting.happens(weather.module_answer_lost, "module answer lost")

        def arrive() -> None:
            outcome = _outcome_of(work)
            if not is_answer_lost:
                setting.clock.callLater(latency(), answer, outcome)

        def answer(outcome: Any) -> None:
            if result.called or not process.is_alive or process.dies_at(seen):
                return
            timer.cancel()
            if isinstance(outcome, Exception):
                result.errback(outcome)
            else:
                result.callback(outcome)

        def latency() -> float:
            return setting.random.uniform(0, SLOW_SECONDS_MAX) if mode is ModuleMode.SLOW else setting.latency()

        setting.clock.callLater(latency(), arrive)
        process.dies_at(asked)
        return result


def _outcome_of(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except (ModuleRefused, MacMismatch) as error:
        return error
