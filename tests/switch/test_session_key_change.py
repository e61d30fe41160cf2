"""0800/161 from octets to octets: both directions, lost answers, old keys, and messages around a change."""

import contextlib
import hashlib
from types import SimpleNamespace
from typing import Any, cast

import pytest
from twisted.internet.task import Clock as ReactorClock

from acquirers.calls import SessionKeyCall
from acquirers.iso1987 import DatafonoDialect
from acquirers.session_key import KeyOffer, key_offer_fields, read_key_offer
from messages.codec import DATAFONO
from messages.iso_message import IsoMessage
from messages.key_wrapping import check_value, unwrap, wrap
from messages.mac import MacAbsent, covered, splice_mac, split_mac, with_placeholder
from messages.security_module import MacScheme
from pos.mac import RetailMac
from switch.exchange import Exchange
from switch.key_watch import KeyWatch
from switch.seal import Seal
from switch.session_key_change import SessionKeyChange
from tests.switch.key_bench import (
    OVERLAP_SECONDS,
    REGISTERS,
    STATIC,
    ZONE_KEY,
    Clock,
    MemoryBooks,
    MemoryModule,
    Process,
    result,
)
from tests.switch.sale_bench import NOW, request
from vending.ports import ModuleUnavailable, SecurityModule
from vending.response_code import Refusal, ResponseCode
from vending.secret import Secret

FIRST = REGISTERS[STATIC].key
ASK = request("0800", {70: "161"})


class Switch:
    """One process: seal and use case over the bench's keys."""

    def __init__(self, books: MemoryBooks, module: MemoryModule, clock: Clock) -> None:
        self.process = Process(books, module, clock)
        self.dialect = DatafonoDialect()
        self.seal = Seal(
            cast("SecurityModule", module),  # it makes and compares MACs, which is all a seal asks for
            self.dialect,
            register_id=STATIC,
            scheme=MacScheme.X9_19,
            is_diversified=False,
            sessions=self.process.keys,
        )
        self.change = SessionKeyChange(dialect=self.dialect, seal=self.seal, keys=self.process.keys)

    def ask(self, message: IsoMessage, key: Secret[bytes]) -> IsoMessage:
        """Send a change of keys signed with *key*; its answer, whose MAC is right under the same. Raises `Refusal`."""
        encoded = DATAFONO.encode(with_placeholder(message))
        body = splice_mac(encoded, RetailMac(key).sign(covered(encoded)))
        call = self.dialect.read(body, acquirer_id="red", now=NOW)
        assert isinstance(call, SessionKeyCall)

        async def work() -> bytes:
            found = await self.seal.verify(call.message, call.body, call.terminal_id)
            answered = await self.change.change(call, found)
            return await self.seal.for_request(answered.body, found)

        answer = result(work())
        return self.authentic(answer, key)

    def authentic(self, answer: bytes, key: Secret[bytes]) -> IsoMessage:
        """Read an answer whose MAC must be right under *key*."""
        message = DATAFONO.decode(answer)
        sealed = split_mac(message, answer)
        RetailMac(key).verify(sealed.covered, sealed.mac)
        return message


class Pair:
    """Two processes on the same books."""

    def __init__(self) -> None:
        self.clock, self.books = Clock(), MemoryBooks()
        self.module = MemoryModule(self.clock)
        self.first, self.second = (Switch(self.books, self.module, self.clock) for _ in range(2))


@pytest.fixture
def pair() -> Pair:
    """Nothing was changed yet."""
    return Pair()


def _key_in(answer: IsoMessage) -> Secret[bytes]:
    offer = read_key_offer(answer)
    assert answer.text(39) == "00"
    return unwrap(MacScheme.X9_19, ZONE_KEY, offer.wrapped, offer.kcv)


def _give(generation: int, seed: bytes) -> tuple[IsoMessage, Secret[bytes]]:
    key = Secret(hashlib.sha256(seed).digest()[:16])
    kcv = check_value(MacScheme.X9_19, key.reveal())
    offer = KeyOffer(generation=generation, kcv=kcv, wrapped=wrap(MacScheme.X9_19, ZONE_KEY, key))
    return ASK.with_fields(key_offer_fields(ASK, offer)), key


def test_a_key_is_asked_for_under_the_one_before_again_and_again(pair: Pair) -> None:
    """Each answer is signed with the key of its request, and the next request with the key that it brought."""
    key = FIRST
    for generation in range(1, 5):
        switch = (pair.first, pair.second)[generation % 2]
        answer = switch.ask(ASK, key)
        assert read_key_offer(answer).generation == generation
        assert read_key_offer(switch.ask(ASK, key)) == read_key_offer(answer), "the answer was lost: the same again"
        key = _key_in(answer)
        pair.clock.advance(1)


def test_a_key_is_given_and_the_answer_says_which_was_taken(pair: Pair) -> None:
    """Generation and check value, and no key; the next one is given under it."""
    key = FIRST
    for generation in (1, 2):
        message, given = _give(generation, bytes((generation,)))
        for switch in (pair.first, pair.second):
            told = read_key_offer(switch.ask(message, key))
            assert (told.generation, told.wrapped) == (generation, b"")
            assert told.kcv == check_value(MacScheme.X9_19, given.reveal())
            pair.clock.advance(1)
        key = given


def test_a_change_under_a_retired_key_is_refused(pair: Pair) -> None:
    """It may be an old copy; whatever is not a change of keys is honoured until the overlap is over."""
    key = _key_in(pair.first.ask(ASK, FIRST))
    pair.first.ask(ASK, key)
    with pytest.raises(Refusal) as refused:
        pair.first.ask(ASK, FIRST)
    assert refused.value.code is ResponseCode.MAC_MISMATCH
    assert "not in force" in refused.value.private_detail
    pair.clock.advance(OVERLAP_SECONDS + 1)
    with pytest.raises(Refusal) as refused:
        pair.second.ask(ASK, FIRST)
    assert refused.value.private_detail == ""


def test_a_stored_answer_is_signed_anew_for_who_asks_under_another_key(pair: Pair) -> None:
    """Only its MAC differs; an answer without a MAC stays as it is, and without a module there is no final answer."""
    stored = result(pair.first.seal.sign(IsoMessage(mti="0210", fields={11: "000005", 39: "00"}), "TERM0001"))
    pair.first.authentic(stored, FIRST)
    key = _key_in(pair.first.ask(ASK, FIRST))
    pair.first.ask(ASK, key)
    name = result(pair.first.process.keys.current())
    again = result(pair.second.seal.for_request(stored, name))
    pair.second.authentic(again, key)
    assert again[:-8] == stored[:-8]
    bare = DATAFONO.encode(IsoMessage(mti="0810", fields={39: "00"}))
    assert result(pair.second.seal.for_request(bare, name)) == bare
    pair.module.asking.plan(ModuleUnavailable("no link"))
    with pytest.raises(Refusal) as refused:
        result(pair.second.seal.for_request(stored, name))
    assert refused.value.code is ResponseCode.IN_PROGRESS


def test_a_module_that_goes_away_within_a_change_leaves_both_ends_with_the_same_key(pair: Pair) -> None:
    """Whichever question it does not answer, the same request afterwards gets the key, and the old one is good until then."""
    key = FIRST
    for fails_at in range(4):
        pair.module.asking.plan(*([None] * fails_at), ModuleUnavailable("no link"))
        # Refused, or without a MAC, which is no answer either; or what failed was not asked.
        with contextlib.suppress(Refusal, MacAbsent):
            pair.first.ask(ASK, key)
        pair.module.asking.clear()
        pair.clock.advance(1)
        key = _key_in(pair.first.ask(ASK, key))


def test_a_network_without_session_keys_says_so(pair: Pair) -> None:
    """With its own code, and it has no key to show."""
    change = SessionKeyChange(dialect=pair.first.dialect, seal=pair.first.seal, keys=None)
    call: Any = None
    with pytest.raises(Refusal) as refused:
        result(change.change(call, result(pair.first.process.keys.current())))
    assert refused.value.code is ResponseCode.UNSUPPORTED_PROCESSING_CODE
    assert change.row() is None
    assert result(change.look()) is None


def test_the_watch_knows_the_age_before_any_message(pair: Pair) -> None:
    """A process that was started again shows how old the key is without being asked anything."""
    key = _key_in(pair.first.ask(ASK, FIRST))
    pair.first.ask(ASK, key)
    pair.clock.advance(50)
    after = Switch(pair.books, pair.module, pair.clock)

    exchange = SimpleNamespace(session_key_change=after.change)
    watch = KeyWatch({"red": cast("Exchange", exchange)}, reactor=ReactorClock())
    watch.start()
    watch.stop()
    assert after.process.sample("session_key_age_seconds") == 50
