"""How long a flood on one network's port holds up the switch's thread: ``python -m benchmarks.reactor_lag [ATTACK ...]``.

One port in this process, whose ledger and security module answer at once (so no MAC is wrong here), and an attacker of `benchmarks.isolation_attack` in another. A
thousand times a second the thread is to do something, and how much too late it does is what another network's sale would wait. Needs no
database, six seconds for each attack, and no quiet machine: of one with two processors one may be busy.

Prints one JSON object by attack: ``late_p99_ms`` and ``late_max_ms``, and ``thread``, the share of the time that the thread worked.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.isolation_attack import ATTACKS
from benchmarks.switch_path import exchange
from cli.bench import percentile
from config.acquirer import AcquirerSection, MacSection
from switch.log import configure
from switch.metrics import Metrics
from switch.port import AcquirerPort

BEAT_SECONDS = 0.001


class Pulse:
    """Notes how late the thread is, again and again."""

    def __init__(self, reactor: Any) -> None:
        self.late_ms: list[float] = []
        self._reactor = reactor
        self._due_at = time.monotonic()
        self._beat()

    def _beat(self) -> None:
        now = time.monotonic()
        self.late_ms.append(1000 * max(0.0, now - self._due_at))
        self._due_at = now + BEAT_SECONDS
        self._reactor.callLater(BEAT_SECONDS, self._beat)


async def attacked(reactor: Any, pulse: Pulse, address: tuple[str, int], attack: str, seconds: float) -> dict[str, Any]:
    """Have the port attacked and return what that did."""
    from twisted.internet.task import deferLater
    from twisted.internet.threads import deferToThread

    host, port = address
    command = [sys.executable, "-m", "benchmarks.isolation_attack", attack, "datafono", str(seconds), host, str(port)]
    child = subprocess.Popen(
        [*command, "elsewhere"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
        start_new_session=True,
    )
    assert child.stdout is not None
    await deferToThread(child.stdout.readline)
    pulse.late_ms.clear()
    began, used = time.monotonic(), time.thread_time()
    told, _ = await deferToThread(child.communicate, "go\n")
    late_ms = sorted(pulse.late_ms)
    share = (time.thread_time() - used) / (time.monotonic() - began)
    await deferLater(reactor, 1.0)
    return {
        "late_p99_ms": round(percentile(late_ms, 99) or 0.0, 1),
        "late_max_ms": round(late_ms[-1], 1),
        "thread": round(share, 2),
        "did": json.loads(told),
    }


def main() -> None:
    """Measure and print."""
    from twisted.internet import reactor  # noqa: TID251 - the root of this process
    from twisted.internet.defer import ensureDeferred

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("attacks", nargs="*", default=["keep_alives", "echoes", "noise_frames"])
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    known = ATTACKS.keys() - {"false_sales"}
    assert known.issuperset(options.attacks), f"attacks are {', '.join(sorted(known))}"
    clock: Any = reactor
    clock.seconds = time.monotonic
    configure(open("/dev/null", "w"), "info")  # noqa: SIM115 - as long as the process
    section = AcquirerSection.model_validate({"id": "datafonos", "listen_port": 0, "mac": MacSection(register_id=10)})
    port = AcquirerPort(section=section, clock=clock, serve=exchange().serve, metrics=Metrics().acquirer(section.id))
    found: dict[str, Any] = {}

    async def run() -> None:
        address = port.listen(clock)
        pulse = Pulse(clock)
        for attack in options.attacks:
            found[attack] = await attacked(clock, pulse, address, attack, options.seconds)

    clock.callWhenRunning(lambda: ensureDeferred(run()).addErrback(print).addBoth(lambda _: clock.stop()))
    clock.run()
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
