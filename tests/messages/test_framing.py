"""Frames: any cut of a stream gives the same events, and a bad length is refused on its first octets."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messages.framing import (
    KEEP_ALIVE,
    Frame,
    FrameError,
    FrameEvent,
    FrameFault,
    FrameReader,
    FrameStyle,
    write_frame,
    write_keep_alive,
)

STYLES = st.sampled_from(list(FrameStyle))
BODIES = st.lists(st.binary(max_size=40), max_size=8)


def read_in_pieces(reader: FrameReader, stream: bytes, cuts: list[int]) -> tuple[list[FrameEvent], FrameFault | None]:
    """Feed *stream* cut at *cuts*; return every event and the fault that ended it."""
    events: list[FrameEvent] = []
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    try:
        for start, stop in pairwise(edges):
            events += reader.receive(stream[start:stop])
    except FrameError as error:
        return events + list(error.events), error.fault
    return events, None


@settings(deadline=None)
@given(STYLES, BODIES, st.lists(st.integers(min_value=0), max_size=12))
def test_any_cut_gives_the_frames_that_were_written(style: FrameStyle, bodies: list[bytes], cuts: list[int]) -> None:
    """Wherever a stream is cut, the frames come out whole, in order, and nothing is left over."""
    reader = FrameReader(style, 40)
    stream = b"".join(write_frame(style, body) for body in bodies)
    events, fault = read_in_pieces(reader, stream, cuts)
    assert fault is None
    assert events == [Frame(body) if body else KEEP_ALIVE for body in bodies]
    assert not reader.is_unfinished


@settings(deadline=None)
@given(STYLES, st.binary(max_size=60), st.lists(st.integers(min_value=0), max_size=12))
def test_any_cut_of_garbage_gives_the_same_events_and_fault(style: FrameStyle, stream: bytes, cuts: list[int]) -> None:
    """A stream that is no frames at all is read the same in one piece and in many, and one octet at a time."""
    whole = read_in_pieces(FrameReader(style, 20), stream, [])
    assert read_in_pieces(FrameReader(style, 20), stream, cuts) == whole
    assert read_in_pieces(FrameReader(style, 20), stream, list(range(len(stream)))) == whole


@pytest.mark.parametrize(
    ("style", "stream", "fault", "looks_like"),
    [
        (FrameStyle.BINARY_2, b"\xff\xff", FrameFault.TOO_LONG, None),
        (FrameStyle.BINARY_2, b"\x08\x01", FrameFault.TOO_LONG, None),
        (FrameStyle.BINARY_2, b"GET / HTTP/1.1\r\n", FrameFault.TOO_LONG, "http"),
        (FrameStyle.BINARY_2, b"\x16\x03\x01\x02\x00", FrameFault.TOO_LONG, "tls"),
        (FrameStyle.DIGITS_4, b"GET / HTTP/1.1\r\n", FrameFault.NOT_DIGITS, "http"),
        (FrameStyle.DIGITS_4, b"\x16\x03\x01\x02\x00", FrameFault.NOT_DIGITS, "tls"),
        (FrameStyle.DIGITS_4, b"2049", FrameFault.TOO_LONG, None),
        (FrameStyle.DIGITS_4, b"+016", FrameFault.NOT_DIGITS, None),
        (FrameStyle.DIGITS_4, b" 016", FrameFault.NOT_DIGITS, None),
        (FrameStyle.DIGITS_4, b"00", None, None),
        (FrameStyle.DIGITS_4, b"0 ", FrameFault.NOT_DIGITS, None),
        (FrameStyle.DIGITS_4, "٠٠١٦".encode(), FrameFault.NOT_DIGITS, None),
        (FrameStyle.BINARY_2, b"\x08\x00", None, None),
        (FrameStyle.DIGITS_4, b"2048", None, None),
    ],
)
def test_a_bad_length_is_refused_at_once_and_named(
    style: FrameStyle, stream: bytes, fault: FrameFault | None, looks_like: str | None
) -> None:
    """Lengths above the limit, signs, spaces and other protocols are refused before any body is waited for."""
    reader = FrameReader(style, 2048)
    if fault is None:
        assert reader.receive(stream) == []
        assert reader.is_unfinished
        return
    with pytest.raises(FrameError) as caught:
        reader.receive(stream)
    assert caught.value.fault is fault
    assert caught.value.looks_like == looks_like
    assert len(caught.value.prefix) <= 4


def test_a_letter_in_digits_is_refused_on_the_first_octet() -> None:
    """A web browser on a port of digits is refused with its first letter."""
    with pytest.raises(FrameError):
        FrameReader(FrameStyle.DIGITS_4).receive(b"G")


def test_frames_before_a_fault_come_with_it_and_the_reader_stays_broken() -> None:
    """A good request in front of garbage is not lost, and nothing is read after the garbage."""
    reader = FrameReader(FrameStyle.BINARY_2)
    with pytest.raises(FrameError) as caught:
        reader.receive(write_frame(FrameStyle.BINARY_2, b"good") + b"\xff\xff")
    assert caught.value.events == (Frame(b"good"),)
    with pytest.raises(FrameError) as again:
        reader.receive(write_frame(FrameStyle.BINARY_2, b"late"))
    assert again.value.events == ()


def test_an_unfinished_frame_is_known_as_such() -> None:
    """The frame timer runs from the first octet of a frame until its last one."""
    reader = FrameReader(FrameStyle.BINARY_2)
    assert not reader.is_unfinished
    states = []
    for octet in b"\x00\x03abc":
        reader.receive(bytes([octet]))
        states.append((reader.is_unfinished, reader.held_octets))
    assert states == [(True, 1), (True, 2), (True, 3), (True, 4), (False, 0)]


def test_a_slow_sender_costs_no_more_than_its_frame() -> None:
    """One octet at a time of an unfinished frame holds no more than the frame itself."""
    reader = FrameReader(FrameStyle.BINARY_2, 2048)
    stream = write_frame(FrameStyle.BINARY_2, b"x" * 2048)
    for octet in stream[:-1]:
        assert reader.receive(bytes([octet])) == []
    assert reader.held_octets == 2049
    assert reader.receive(stream[-1:]) == [Frame(b"x" * 2048)]


@pytest.mark.parametrize(("style", "octets"), [(FrameStyle.BINARY_2, b"\0\0"), (FrameStyle.DIGITS_4, b"0000")])
def test_a_keep_alive_is_a_frame_of_length_zero(style: FrameStyle, octets: bytes) -> None:
    """The keep-alive of each style is its length of zero and nothing behind it."""
    assert write_keep_alive(style) == octets
    assert FrameReader(style).receive(octets) == [KEEP_ALIVE]


def test_what_cannot_be_written_or_limited_is_refused() -> None:
    """A frame that its length cannot count, and a limit that it cannot reach, are our own faults."""
    with pytest.raises(ValueError, match="longer than 9999"):
        write_frame(FrameStyle.DIGITS_4, b"x" * 10_000)
    for limit in (0, 10_000):
        with pytest.raises(ValueError, match="frame_octets_max"):
            FrameReader(FrameStyle.DIGITS_4, limit)


def test_a_frame_does_not_show_its_octets() -> None:
    """A frame may hold a PIN, so its repr does not show it."""
    assert "12345" not in repr(Frame(b"12345"))
