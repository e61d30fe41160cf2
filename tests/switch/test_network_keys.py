"""The keys of one network in the switch processes: which is honoured when, whoever answered, died or was away in between."""

import pytest
from twisted.internet.defer import ensureDeferred

from ledger.errors import LedgerUnavailable
from messages.key_wrapping import check_value, wrap
from messages.security_module import MacScheme
from switch.session_keys import LOOK_AGAIN_SECONDS, PICTURE_SECONDS
from tests.switch.fakes import HANG
from tests.switch.key_bench import (
    OVERLAP_SECONDS,
    STATIC_NAME,
    ZONE_KEY,
    Clock,
    MemoryBooks,
    MemoryModule,
    Process,
    name,
    octets_of,
    result,
)
from vending.ports import MacKey, ModuleRefused, ModuleUnavailable
from vending.response_code import Refusal, ResponseCode
from vending.secret import Secret
from vending.session_key import KeyOrigin, LookAtKeys

THEIRS = Secret(bytes.fromhex("80C4526E1FB3A70D94D3EA6B07C8F215"))
THEIRS_KCV = check_value(MacScheme.X9_19, THEIRS.reveal())
THEIRS_WRAPPED = wrap(MacScheme.X9_19, ZONE_KEY, THEIRS)


class Town:
    """Two processes of one network."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.books = MemoryBooks()
        self.module = MemoryModule(self.clock)
        self.first, self.second = (Process(self.books, self.module, self.clock) for _ in range(2))

    def restart(self) -> Process:
        """A process that knows nothing."""
        return Process(self.books, self.module, self.clock)


@pytest.fixture
def town() -> Town:
    """Nothing was changed yet."""
    return Town()


def _change(process: Process) -> MacKey:
    """Ask for a key, and use it once; return how it is named."""
    made = result(process.keys.make())
    octets_of(made.key)
    assert process.find(name(made.key)) == name(made.key)
    return name(made.key)


def _is_honoured(process: Process, key: MacKey) -> bool:
    try:
        process.find(key)
    except Refusal as refusal:
        if refusal.code is not ResponseCode.MAC_MISMATCH:
            raise
        return False
    return True


def test_the_first_message_under_an_offered_key_puts_it_in_force(town: Town) -> None:
    """Until then the key before is in force, so a lost answer of the change hurts nobody: asked again, the same key comes."""
    made = result(town.first.keys.make())
    assert result(town.first.keys.make()) == result(town.second.keys.make()) == made
    assert result(town.first.keys.current()) == STATIC_NAME
    assert _is_honoured(town.first, STATIC_NAME)
    assert _is_honoured(town.first, name(made.key))
    assert town.books.seen.in_force is not None
    assert town.books.seen.in_force.generation == 1
    assert result(town.first.keys.current()) == name(made.key)
    assert town.first.sample("session_key_changes_total") == 1


def test_the_key_before_is_honoured_for_the_overlap_and_no_longer(town: Town) -> None:
    """By both processes, and its use is counted; then by none, also by one whose picture was made before the change."""
    assert _is_honoured(town.second, STATIC_NAME)
    _change(town.first)
    for process in (town.first, town.second, town.restart()):
        assert _is_honoured(process, STATIC_NAME)
    assert town.first.sample("macs_under_old_key_total") == 1
    town.clock.advance(OVERLAP_SECONDS - 1)
    assert _is_honoured(town.first, STATIC_NAME)
    town.clock.advance(1.001)
    for process in (town.first, town.second, town.restart()):
        assert not _is_honoured(process, STATIC_NAME)


def test_a_process_with_an_old_picture_ends_a_key_soon_enough(town: Town) -> None:
    """It looks again after half a minute, so it cannot honour a key for longer than the overlap."""
    assert _is_honoured(town.second, STATIC_NAME)
    key = _change(town.first)
    town.clock.advance(PICTURE_SECONDS)
    assert town.second.find(key) == key
    assert result(town.second.keys.current()) == key


def test_another_process_takes_a_key_that_it_has_not_heard_of(town: Town) -> None:
    """It asks the ledger before it calls a MAC wrong; wrong MACs make it ask once a second at most."""
    assert _is_honoured(town.second, STATIC_NAME)
    key = _change(town.first)
    assert _is_honoured(town.second, key)
    before = len(town.second.step.asked)
    wrong = MacKey(register_id=12, scheme=MacScheme.X9_19, diversifier="")
    strange = town.module.keys.make(14, 99)
    for _ in range(10):
        assert not _is_honoured(town.second, name(strange))
    assert len(town.second.step.asked) - before <= 1
    town.clock.advance(LOOK_AGAIN_SECONDS)
    assert not _is_honoured(town.second, name(strange))
    assert _is_honoured(town.second, wrong), "the register's own key, within the overlap"


def test_a_key_that_is_given_is_taken_once(town: Town) -> None:
    """Given again it is the same, also to another process and after it came into force; another key under its generation is refused."""
    taken = result(town.first.keys.take(1, THEIRS_WRAPPED, THEIRS_KCV))
    assert taken.origin is KeyOrigin.THEIRS
    assert result(town.second.keys.take(1, THEIRS_WRAPPED, THEIRS_KCV)) == taken
    assert _is_honoured(town.first, name(taken.key))
    assert result(town.restart().keys.take(1, THEIRS_WRAPPED, THEIRS_KCV)).generation == 1
    for generation in (1, 3):
        other = Secret(bytes(range(16)))
        wrapped, kcv = wrap(MacScheme.X9_19, ZONE_KEY, other), check_value(MacScheme.X9_19, other.reveal())
        with pytest.raises(Refusal) as refused:
            result(town.first.keys.take(generation, wrapped, kcv))
        assert refused.value.code is ResponseCode.DUPLICATE_CONFLICT


def test_a_wrong_check_value_changes_nothing(town: Town) -> None:
    """The partner is told, and the key before goes on."""
    with pytest.raises(Refusal) as refused:
        result(town.first.keys.take(1, THEIRS_WRAPPED, "000000"))
    assert refused.value.code is ResponseCode.FORMAT_ERROR
    assert (town.books.seen.highest, town.books.seen.offered) == (0, ())
    assert _is_honoured(town.first, STATIC_NAME)


def test_a_late_request_for_a_key_does_not_undo_the_key_that_was_given(town: Town) -> None:
    """The partner asked, gave a key before the answer came, and uses it; a copy of his question comes last. Both keys are good."""
    taken = result(town.first.keys.take(1, THEIRS_WRAPPED, THEIRS_KCV))
    made = result(town.second.keys.make())
    assert (taken.generation, made.generation) == (1, 2)
    assert _is_honoured(town.first, name(taken.key))
    assert _is_honoured(town.second, name(made.key))
    assert town.books.seen.in_force is not None
    assert town.books.seen.in_force.generation == 2


def test_a_newer_key_of_the_same_maker_supersedes_the_older(town: Town) -> None:
    """Whoever gave two keys uses the second."""
    first = result(town.first.keys.take(1, THEIRS_WRAPPED, THEIRS_KCV))
    other = Secret(bytes(range(16)))
    wrapped, kcv = wrap(MacScheme.X9_19, ZONE_KEY, other), check_value(MacScheme.X9_19, other.reveal())
    second = result(town.first.keys.take(2, wrapped, kcv))
    assert not _is_honoured(town.first, name(first.key))
    assert _is_honoured(town.first, name(second.key))


@pytest.mark.parametrize("error", [ModuleUnavailable("no link"), ModuleRefused("91", "stopping")], ids=repr)
def test_without_a_module_nothing_is_changed_and_nothing_is_lost(town: Town, error: Exception) -> None:
    """No key is offered; one that was offered is honoured and comes into force with a later message."""
    town.module.asking.plan(error)
    with pytest.raises(Refusal):
        result(town.first.keys.make())
    assert town.books.seen.highest == 0
    made = result(town.first.keys.make())
    town.module.asking.plan(error)
    assert _is_honoured(town.first, name(made.key)), "the message itself is served"
    assert town.books.seen.in_force is None
    assert _is_honoured(town.second, name(made.key))
    assert town.books.seen.in_force is not None


def test_a_ledger_that_is_away_makes_no_mac_wrong(town: Town) -> None:
    """Nobody can tell then, and that is what the answer says; it is asked once, whoever waits."""
    town.first.step.plan(LedgerUnavailable("gone"))
    with pytest.raises(Refusal) as refused:
        town.first.find(STATIC_NAME)
    assert refused.value.code is ResponseCode.LEDGER_UNAVAILABLE
    town.first.step.plan(HANG)
    waiting = [town.first.keys.look() for _ in range(3)]
    outcomes: list[object] = []
    for each in waiting:
        ensureDeferred(each).addBoth(outcomes.append)
    assert outcomes == []
    town.first.step.release()
    assert outcomes == [town.books.seen] * 3
    assert sum(isinstance(item, LookAtKeys) for item in town.first.step.asked) == 2


def test_messages_that_come_together_put_a_key_in_force_once(town: Town) -> None:
    """While the module is asked for the end of the old key, further messages do not ask it again."""
    made = result(town.first.keys.make())
    town.module.asking.plan(HANG)
    assert town.first.find(name(made.key)) == town.first.find(name(made.key))
    assert len(town.module.asking.held) == 1
    town.module.asking.release()
    assert town.first.sample("session_key_changes_total") == 1


def test_the_age_of_a_key_is_shown_and_told_of_once(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    """From the moment when it came into force, in every process that looked; 0 under the register's own."""
    result(town.first.keys.look())
    assert town.first.sample("session_key_age_seconds") == 0
    assert town.first.keys.row() == {"generation": 0, "kcv": None, "age_seconds": None}
    _change(town.first)
    town.clock.advance(3601)
    after = town.restart()
    for _ in range(2):
        result(after.keys.look())
    assert after.sample("session_key_age_seconds") == 3601
    assert after.keys.row()["generation"] == 1
