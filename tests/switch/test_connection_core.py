from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messages.framing import FrameStyle, write_frame
from switch.connection import CloseReason, Connection, ConnectionLimits, Farewell

LIMITS = ConnectionLimits(
    frame_octets_max=2048,
    in_flight_max=3,
    frame_timeout_seconds=10.0,
    keep_alive_interval_seconds=5.0,
    idle_timeout_seconds=60.0,
    close_timeout_seconds=4.0,
    send_timeout_seconds=20.0,
)
KEEP_ALIVE = b"\x00\x00"


def _connection(style: FrameStyle = FrameStyle.BINARY_2, in_flight_max: int = 3) -> Connection:
    limits = ConnectionLimits(
        frame_octets_max=LIMITS.frame_octets_max,
        in_flight_max=in_flight_max,
        frame_timeout_seconds=LIMITS.frame_timeout_seconds,
        keep_alive_interval_seconds=LIMITS.keep_alive_interval_seconds,
        idle_timeout_seconds=LIMITS.idle_timeout_seconds,
        close_timeout_seconds=LIMITS.close_timeout_seconds,
        send_timeout_seconds=LIMITS.send_timeout_seconds,
    )
    return Connection(style=style, limits=limits, now=0.0)


# Calls, because a type checker takes two reads of one attribute for the same value.
def _farewell(connection: Connection) -> Farewell:
    return connection.farewell


def _reason(connection: Connection) -> CloseReason | None:
    return connection.reason


def _deadline(connection: Connection) -> float | None:
    return connection.deadline


def _is_reading(connection: Connection) -> bool:
    return connection.is_reading


def _frame(body: bytes) -> bytes:
    return write_frame(FrameStyle.BINARY_2, body)


@settings(deadline=None)  # a noisy machine is no fault of the code
@given(
    bodies=st.lists(st.binary(min_size=0, max_size=40), max_size=12),
    cuts=st.lists(st.integers(0, 600), max_size=20),
    style=st.sampled_from(FrameStyle),
)
def test_any_cut_of_the_stream_gives_the_same_frames_and_answers(
    bodies: list[bytes], cuts: list[int], style: FrameStyle
) -> None:
    """Wherever TCP cuts, every frame is handed out once and in order, and each gets its own answer back."""
    stream = b"".join(write_frame(style, body) for body in bodies)
    places = sorted({0, *(cut for cut in cuts if cut < len(stream)), len(stream)})
    connection = _connection(style, in_flight_max=2)
    served, sent = [], b""
    for start, end in pairwise(places):
        connection.receive(stream[start:end], 1.0)
        while frames := connection.take_frames():
            assert connection.in_flight <= 2
            served += frames
            for frame in frames:
                assert connection.answer(frame[::-1], 1.0)
        sent += connection.take_output()
    real = [body for body in bodies if body]
    assert served == real
    assert connection.keep_alives_answered + connection.keep_alives_ignored == len(bodies) - len(real)
    answers = b"".join(write_frame(style, body[::-1]) for body in real)
    if b"" not in bodies:
        assert sent == answers
    assert len(sent) == len(answers) + connection.keep_alives_answered * style.prefix_octets
    assert _reason(connection) is None
    assert _is_reading(connection)


def test_a_keep_alive_storm_is_answered_once_per_interval() -> None:
    """Two ends that echo each other's empty frames stop after the first."""
    connection = _connection()
    sent = b""
    for step in range(1000):
        connection.receive(KEEP_ALIVE * 10, step / 100)
        sent += connection.take_output()
    assert sent == KEEP_ALIVE * 2
    assert (connection.keep_alives_answered, connection.keep_alives_ignored) == (2, 9998)


def test_a_keep_alive_is_answered_again_after_the_interval() -> None:
    """A peer that asks now and then gets an answer each time, and is never idle."""
    connection = _connection()
    for step in range(1, 101):
        connection.receive(KEEP_ALIVE, step * 5.0)
        assert connection.take_output() == KEEP_ALIVE
        connection.tick(step * 5.0)
    assert _reason(connection) is None


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", CloseReason.HTTP_PROBE),
        (b"POST /x HTTP/1.0\r\n", CloseReason.HTTP_PROBE),
        (b"OPTIONS * HTTP/1.1\r\n", CloseReason.HTTP_PROBE),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", CloseReason.TLS_PROBE),
        (b"\xff\xff" + b"x" * 100, CloseReason.FRAME_TOO_LONG),
        (b"\x08\x01", CloseReason.FRAME_TOO_LONG),
    ],
)
def test_what_is_not_ours_is_closed_by_its_first_octets_and_named(octets: bytes, reason: CloseReason) -> None:
    """Two octets are enough to know a probe; nobody waits for the 18 245 octets that an HTTP request would announce."""
    connection = _connection()
    connection.receive(octets[:2], 0.0)
    assert _reason(connection) is reason
    assert _farewell(connection) is Farewell.CLOSE
    assert not connection.take_frames()


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"GET /", CloseReason.HTTP_PROBE),
        (b"\x16\x03\x01\x00", CloseReason.TLS_PROBE),
        (b"+080", CloseReason.FRAME_MALFORMED),
    ],
)
def test_probes_are_named_on_a_port_with_digits_too(octets: bytes, reason: CloseReason) -> None:
    """The other style of length tells the same peers apart, and takes no sign for a digit."""
    connection = _connection(FrameStyle.DIGITS_4)
    connection.receive(octets, 0.0)
    assert _reason(connection) is reason


def test_after_a_good_frame_the_same_octets_are_a_bad_length_and_no_probe() -> None:
    """A terminal that lost its place is not counted as somebody's browser."""
    connection = _connection()
    connection.receive(_frame(b"a") + b"GET / HTTP", 0.0)
    assert _reason(connection) is CloseReason.FRAME_TOO_LONG


def test_requests_before_a_bad_length_are_still_answered() -> None:
    """A good request is not lost with the link that it came on."""
    connection = _connection()
    connection.receive(_frame(b"one") + b"\xff\xff", 0.0)
    assert connection.take_frames() == [b"one"]
    assert _farewell(connection) is Farewell.STAY
    assert not _is_reading(connection)
    assert connection.answer(b"1", 1.0)
    assert connection.take_output() == _frame(b"1")
    assert _farewell(connection) is Farewell.CLOSE


def test_the_frame_timer_ends_a_half_frame() -> None:
    """Half a frame and then silence ends after the frame time-out, not before."""
    connection = _connection()
    connection.receive(_frame(b"abcdef")[:4], 3.0)
    assert _deadline(connection) == 13.0
    connection.tick(12.9)
    assert _reason(connection) is None
    connection.tick(13.0)
    assert _reason(connection) is CloseReason.FRAME_TIMEOUT
    assert _farewell(connection) is Farewell.CLOSE


def test_octet_by_octet_does_not_keep_a_frame_alive() -> None:
    """A slow loris gets the same time for its frame as everybody."""
    connection = _connection()
    for step, octet in enumerate(_frame(b"x" * 100)):
        connection.receive(bytes([octet]), float(step))
        connection.tick(float(step))
        if _reason(connection) is not None:
            break
    assert _reason(connection) is CloseReason.FRAME_TIMEOUT
    assert step == 10


def test_a_whole_frame_stops_the_frame_timer_and_the_next_begins_its_own() -> None:
    """The timer belongs to one frame."""
    connection = _connection()
    connection.receive(b"\x00", 0.0)
    connection.receive(b"\x01a" + b"\x00", 9.0)
    connection.take_frames()
    assert _deadline(connection) == 19.0
    connection.receive(b"\x01b", 18.0)
    connection.take_frames()
    for _ in range(2):
        connection.answer(None, 18.0)
    assert _deadline(connection) == 18.0 + 60.0


def test_an_idle_connection_is_closed_and_one_with_work_is_not() -> None:
    """Waiting for our own answer is not being idle."""
    connection = _connection()
    assert _deadline(connection) == 60.0
    connection.receive(_frame(b"a"), 50.0)
    connection.take_frames()
    assert _deadline(connection) is None
    connection.tick(1000.0)
    assert _reason(connection) is None
    connection.answer(b"b", 1000.0)
    connection.take_output()
    connection.tick(1059.9)
    assert _reason(connection) is None
    connection.tick(1060.0)
    assert _reason(connection) is CloseReason.IDLE
    assert _farewell(connection) is Farewell.CLOSE


def test_answers_still_go_out_after_the_peer_ended_its_half() -> None:
    """A terminal that sends a FIN right after its request gets its answer, and then the end."""
    connection = _connection()
    connection.receive(_frame(b"a") + _frame(b"b"), 0.0)
    assert connection.take_frames() == [b"a", b"b"]
    connection.end_of_input(1.0)
    assert _farewell(connection) is Farewell.STAY
    assert connection.answer(b"A", 2.0)
    assert _farewell(connection) is Farewell.STAY
    assert connection.answer(b"B", 3.0)
    assert connection.take_output() == _frame(b"A") + _frame(b"B")
    assert _farewell(connection) is Farewell.CLOSE
    assert _reason(connection) is CloseReason.PEER_CLOSED


def test_frames_that_waited_for_their_turn_are_served_after_a_fin() -> None:
    """What was asked before the FIN is answered even if it came in a larger heap than may be in work at once."""
    connection = _connection()
    connection.receive(b"".join(_frame(b"%d" % number) for number in range(8)), 0.0)
    first = connection.take_frames()
    connection.end_of_input(0.0)
    served = list(first)
    for frame in served:
        connection.answer(frame, 1.0)
        served += connection.take_frames()
    assert served == [b"%d" % number for number in range(8)]
    assert _farewell(connection) is Farewell.CLOSE
    assert connection.frames_dropped == 0


def test_reading_pauses_at_the_limit_of_work_and_resumes_below_it() -> None:
    """One connection cannot put more than its share into the switch."""
    connection = _connection()
    connection.receive(_frame(b"a") * 5, 0.0)
    assert len(connection.take_frames()) == 3
    assert connection.take_frames() == []
    assert not _is_reading(connection)
    for left in (True, True, False):
        connection.answer(b"", 1.0)
        assert bool(connection.take_frames()) is left
    assert connection.in_flight == 2
    assert _is_reading(connection)


def test_time_that_we_did_not_read_is_not_charged_to_a_frame() -> None:
    """A half frame that lies behind our own pause gets its whole time after it."""
    connection = _connection()
    connection.receive(_frame(b"a") * 3 + b"\x00", 0.0)
    connection.take_frames()
    assert _deadline(connection) is None
    connection.tick(500.0)
    assert _reason(connection) is None
    connection.answer(b"", 500.0)
    assert _deadline(connection) == 510.0


def test_a_peer_that_does_not_take_its_answers_is_not_read_and_then_cut() -> None:
    """Backpressure holds the peer, and a peer that never reads does not hold us for ever."""
    connection = _connection()
    connection.receive(_frame(b"a"), 0.0)
    connection.take_frames()
    connection.pause_sending(5.0)
    assert not _is_reading(connection)
    connection.pause_sending(30.0)
    assert _deadline(connection) == 25.0
    connection.resume_sending(24.0)
    assert _is_reading(connection)
    connection.pause_sending(50.0)
    connection.tick(69.9)
    assert _reason(connection) is None
    connection.tick(70.0)
    assert _reason(connection) is CloseReason.SEND_STALLED
    assert _farewell(connection) is Farewell.CUT
    assert not connection.answer(b"b", 111.0)
    assert connection.take_output() == b""


def test_keep_alives_are_not_answered_into_a_full_buffer() -> None:
    """A peer that does not read gets nothing added."""
    connection = _connection()
    connection.pause_sending(0.0)
    connection.receive(KEEP_ALIVE, 1.0)
    assert connection.take_output() == b""
    assert connection.keep_alives_ignored == 1


def test_a_drain_takes_no_new_frame_and_delivers_what_is_in_work() -> None:
    """Going down, the switch answers what it began and reads nothing more."""
    connection = _connection()
    connection.receive(_frame(b"a") * 5, 0.0)
    assert len(connection.take_frames()) == 3
    connection.drain(1.0)
    connection.receive(_frame(b"late"), 1.0)
    assert connection.take_frames() == []
    assert connection.frames_dropped == 2
    for _ in range(3):
        assert _farewell(connection) is Farewell.STAY
        assert connection.answer(b"x", 2.0)
    assert connection.take_output() == _frame(b"x") * 3
    assert _farewell(connection) is Farewell.LINGER
    assert _is_reading(connection)
    connection.end_of_input(3.0)
    assert _farewell(connection) is Farewell.CLOSE
    assert _reason(connection) is CloseReason.DRAINED


def test_a_peer_that_ignores_our_end_is_cut() -> None:
    """A closing connection has a time-out too."""
    connection = _connection()
    connection.drain(1.0)
    assert _farewell(connection) is Farewell.LINGER
    assert _deadline(connection) == 5.0
    connection.tick(5.0)
    assert _farewell(connection) is Farewell.CUT
    assert _reason(connection) is CloseReason.CLOSE_TIMEOUT
    assert _deadline(connection) is None


def test_an_answer_for_a_lost_connection_is_undeliverable() -> None:
    """Whoever serves learns that the answer reached nobody; no answer at all is nothing undelivered."""
    connection = _connection()
    connection.receive(_frame(b"a") * 2, 0.0)
    connection.take_frames()
    connection.lose(CloseReason.PEER_LOST)
    assert not connection.answer(b"A", 1.0)
    assert connection.answer(None, 1.0)
    assert connection.take_output() == b""
    assert _reason(connection) is CloseReason.PEER_LOST
    assert _deadline(connection) is None


def test_an_answer_may_end_the_connection() -> None:
    """The last answer leaves before the end that came with it."""
    connection = _connection()
    connection.receive(_frame(b"a") * 2, 0.0)
    connection.take_frames()
    connection.answer(b"bye", 1.0, and_close=True)
    assert not _is_reading(connection)
    assert _farewell(connection) is Farewell.STAY
    connection.answer(b"also", 1.0)
    assert connection.take_output() == _frame(b"bye") + _frame(b"also")
    assert _farewell(connection) is Farewell.CLOSE
    assert _reason(connection) is CloseReason.BY_ANSWER


def test_an_answer_too_long_to_frame_is_refused_and_counts_as_given() -> None:
    """A fault of ours neither reaches the wire in pieces nor blocks a place for ever."""
    connection = _connection()
    connection.receive(_frame(b"a"), 0.0)
    connection.take_frames()
    with pytest.raises(ValueError, match="longer"):
        connection.answer(b"x" * 70000, 1.0)
    assert connection.in_flight == 0
    assert connection.take_output() == b""


def test_an_answer_without_a_frame_is_a_bug() -> None:
    """Answering twice is a fault in the program and stops there."""
    with pytest.raises(AssertionError):
        _connection().answer(b"", 0.0)


@settings(deadline=None)  # a noisy machine is no fault of the code
@given(
    st.lists(
        st.sampled_from(
            ["data", "bad", "fin", "take", "answer", "drain", "cut", "lose", "pause", "resume", "tick", "close"]
        ),
        max_size=40,
    )
)
def test_any_order_of_happenings_keeps_the_accounts(happenings: list[str]) -> None:
    """Every frame received is in work, answered, waiting or dropped, and an end once begun is never taken back."""
    connection, now, answered, was_finishing = _connection(), 0.0, 0, False
    taken = 0
    for what in happenings:
        now += 3.0
        if what == "answer" and connection.in_flight:
            connection.answer(b"x", now)
            answered += 1
        elif what == "close" and connection.in_flight:
            connection.answer(None, now, and_close=True)
            answered += 1
        elif what == "take":
            taken += len(connection.take_frames())
        else:
            _happen(connection, what, now)
        assert connection.in_flight == taken - answered <= LIMITS.in_flight_max
        assert connection.frames_dropped + taken <= connection.frames_received
        assert connection.is_finishing >= was_finishing
        assert connection.is_finishing == (_reason(connection) is not None)
        was_finishing = connection.is_finishing
        assert (
            _farewell(connection) is Farewell.STAY or _farewell(connection) is Farewell.CUT or not connection.in_flight
        )


def _happen(connection: Connection, what: str, now: float) -> None:
    if what == "data":
        connection.receive(_frame(b"a") * 2, now)
    elif what == "bad":
        connection.receive(b"\xff\xff", now)
    elif what == "fin":
        connection.end_of_input(now)
    elif what == "drain":
        connection.drain(now)
    elif what == "cut":
        connection.cut(CloseReason.DRAIN_TIMEOUT, now)
    elif what == "lose":
        connection.lose(CloseReason.PEER_LOST)
    elif what == "pause":
        connection.pause_sending(now)
    elif what == "resume":
        connection.resume_sending(now)
    elif what == "tick":
        connection.tick(now)
