"""Session keys in the ledger: one change after the other, whoever asks, and every step again without harm."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from cli import context
from cli.network_status import reset_key_command
from ledger.network_status import NetworkUnknown, read_networks
from ledger.session_keys import forget_session_keys, run_key_items
from tests.ledger.books import NOW, Books
from vending.session_key import ConfirmKey, KeyItem, KeyOrigin, KeysSeen, KeyState, LookAtKeys, OfferKey, SessionKey

NETWORK = "banco"
UNTIL = NOW + timedelta(minutes=10)


def _key(name: str) -> SessionKey:
    return SessionKey(token=name.encode(), wrapped=f"wrapped {name}".encode(), kcv="0a1b2c")


def _do(books: Books, item: KeyItem) -> KeysSeen:
    (seen,) = run_key_items(books.engine, [item])
    return seen


def _offer(
    books: Books, generation: int, origin: KeyOrigin = KeyOrigin.OURS, at: datetime = NOW, name: str = ""
) -> KeysSeen:
    key = _key(name or f"key {generation}")
    return _do(books, OfferKey(acquirer_id=NETWORK, generation=generation, origin=origin, key=key, at=at))


def _confirm(books: Books, generation: int, retired: int, at: datetime = NOW) -> KeysSeen:
    item = ConfirmKey(
        acquirer_id=NETWORK,
        generation=generation,
        retired=_key(f"end of {retired}"),
        retired_generation=retired,
        honoured_until=UNTIL,
        at=at,
    )
    return _do(books, item)


def test_a_network_begins_with_the_key_of_its_register(books: Books) -> None:
    """Nothing is kept before the first change; a network that is not there is told of."""
    assert _do(books, LookAtKeys(acquirer_id=NETWORK)) == KeysSeen()
    with pytest.raises(NetworkUnknown):
        run_key_items(
            books.engine,
            [OfferKey(acquirer_id="nobody", generation=1, origin=KeyOrigin.OURS, key=_key("k"), at=NOW)],
        )


def test_a_key_is_offered_comes_into_force_and_is_retired(books: Books) -> None:
    """Through two changes, every step done twice: the second time changes nothing."""
    first = _offer(books, 1)
    assert [(key.generation, key.key) for key in first.offered] == [(1, _key("key 1"))]
    assert first == _offer(books, 1, name="another")
    in_force = _confirm(books, 1, 0)
    assert in_force == _confirm(books, 1, 0, at=UNTIL)
    assert in_force.in_force is not None
    assert in_force.retired is not None
    assert (in_force.in_force.generation, in_force.offered) == (1, ())
    retired = in_force.retired
    assert (retired.generation, retired.origin, retired.key.token) == (0, KeyOrigin.STATIC, b"end of 0")
    assert retired.honoured_until == UNTIL
    _offer(books, 2)
    second = _confirm(books, 2, 1, at=NOW + timedelta(hours=1))
    assert second.retired is not None
    assert second.in_force is not None
    assert (second.highest, second.in_force.generation, second.retired.generation) == (2, 2, 1)
    assert second.retired.key.token == b"end of 1"


def test_only_the_next_generation_is_taken_and_an_old_picture_confirms_nothing(books: Books) -> None:
    """Whoever looked too long ago gets what is true now and has changed nothing."""
    assert _offer(books, 2).offered == ()
    _offer(books, 1)
    assert _confirm(books, 1, 7).in_force is None
    assert _confirm(books, 3, 0).in_force is None


def test_one_key_of_each_maker_is_offered(books: Books) -> None:
    """A late request for a key does not undo the key that the partner gave; the older ones go when one comes into force."""
    _offer(books, 1, KeyOrigin.OURS)
    _offer(books, 2, KeyOrigin.THEIRS)
    _offer(books, 3, KeyOrigin.THEIRS)
    seen = _offer(books, 4, KeyOrigin.OURS)
    assert [key.generation for key in seen.offered] == [4, 3]
    confirmed = _confirm(books, 3, 0)
    assert confirmed.in_force is not None
    assert (confirmed.in_force.generation, [key.generation for key in confirmed.offered]) == (3, [4])
    assert all(key.state is KeyState.OFFERED for key in confirmed.offered)


def test_processes_that_offer_at_once_offer_one_key(books: Books) -> None:
    """Four at a time: one key is written, and all see the same."""
    with ThreadPoolExecutor(4) as pool:
        seen = list(pool.map(lambda number: _offer(books, 1, name=f"of process {number}"), range(4)))
    assert len({key.key.token for each in seen for key in each.offered}) == 1


def test_forgetting_puts_the_register_in_force_and_counts_on(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the command, with who and why; the network is not shown as stopped by it; a second time says that there is none."""
    monkeypatch.setattr(context, "engine", lambda: books.engine)
    _offer(books, 1)
    _confirm(books, 1, 0)
    words = [NETWORK, "--why", "host restored", "--user", "ana"]
    first, again = (CliRunner().invoke(reset_key_command, words) for _ in range(2))
    assert (first.output, again.output) == ("banco has its first key again\n", "banco has no session key\n")
    seen = _do(books, LookAtKeys(acquirer_id=NETWORK))
    assert (seen.highest, seen.in_force, seen.offered, seen.retired) == (1, None, (), None)
    with books.engine.connect() as connection:
        orders = connection.execute(text("SELECT action, ordered_by, why FROM network_order")).all()
    assert orders == [("reset_key", "ana", "host restored")]
    assert {each.id: each.action for each in read_networks(books.engine)}[NETWORK] is None
    _offer(books, 2)
    again_in_force = _confirm(books, 2, 0)
    assert again_in_force.in_force is not None
    assert again_in_force.in_force.generation == 2
    with pytest.raises(NetworkUnknown):
        forget_session_keys(books.engine, "nobody", user="ana", why="x", at=NOW)
