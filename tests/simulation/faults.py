"""What can go wrong, by name, and how often it does in one run."""

from dataclasses import dataclass, replace
from enum import Enum
from random import Random


class CrashPoint(Enum):
    """Between any two steps of a request the whole switch may die; each place has a name."""

    FRAME_READ = "a frame was read, nothing is done"
    MAC_VERIFIED = "the MAC was found right"
    RESERVE_BEFORE = "before reserve"
    RESERVE_COMMITTED = "reserve is committed, its result not seen"
    MINT_BEFORE = "before the module is asked to mint"
    MINT_ASKED = "the module was asked to mint, its answer not seen"
    MINTED = "the module's tokens have come, nothing is done with them"
    SIGN_BEFORE = "before the answer is signed"
    SIGNED = "the answer is signed and not stored"
    POST_BEFORE = "before post"
    POST_COMMITTED = "post is committed, its result not seen"
    REVERSAL_BEFORE = "before a reversal looks for its original"
    REVERSAL_COMMITTED = "the reversal is journaled, its result not seen"
    RECORD_BEFORE = "before the answer of a decline or reversal is stored"
    RECORD_COMMITTED = "that answer is stored, its result not seen"
    RESOLVER_LOOKING = "the resolver has found sales and finished none"
    ANSWER_READY = "the answer is durable and not written"
    ANSWER_WRITTEN = "the answer is written and on its way"
    ANY_TIME = "at some moment, whatever goes on"


class ModuleMode(Enum):
    """How the security module does at a time."""

    UP = "up"
    DOWN = "not reachable"
    SILENT = "takes requests and does nothing"
    MUTE = "does what is asked and its answers get lost"
    SLOW = "answers late, often after its client has given up"
    REFUSING = "refuses to mint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """Chances of what goes wrong. Those per second are rates of windows, the others count for each frame, batch or request."""

    crash: float = 0
    frame_lost: float = 0
    frame_late: float = 0
    frame_twice: float = 0
    link_cut: float = 0
    module_request_lost: float = 0
    module_answer_lost: float = 0
    module_refuses: float = 0
    ledger_away: float = 0
    ledger_unknown: float = 0
    disturbance_seconds: float = 0
    """Mean time between windows of an outage, steps of the clock, and crashes at any time; 0: never."""


CALM = Weather()

ROUGH = Weather(
    crash=0.002,
    frame_lost=0.01,
    frame_late=0.02,
    frame_twice=0.02,
    link_cut=0.02,
    module_request_lost=0.003,
    module_answer_lost=0.003,
    module_refuses=0.005,
    ledger_away=0.005,
    ledger_unknown=0.01,
    disturbance_seconds=60,
)


def draw_weather(random: Random) -> Weather:
    """Return the weather of one run: each kind of fault absent, ordinary or three times as likely."""
    names = [name for name in Weather.__slots__ if name != "disturbance_seconds"]
    chances = {name: getattr(ROUGH, name) * random.choice((0, 1, 1, 3)) for name in names}
    return replace(ROUGH, **chances, disturbance_seconds=random.choice((0, 20, 60, 120)))
