"""Sub-elements: what is built is read back, what is malformed is refused where it is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messages.subfields import (
    SubElement,
    SubElementError,
    SubElementsTooLong,
    build_sub_elements,
    first_value,
    parse_sub_elements,
    sub_elements_size_octets,
    write_sub_elements,
)

TAGS = st.from_regex(r"[A-Z][A-Z0-9]", fullmatch=True)
PRINTABLE = st.text(
    st.characters(max_codepoint=0xFF, exclude_categories=["Cc", "Cf", "Zs"]) | st.just(" "), max_size=40
)
ELEMENTS = st.lists(st.builds(SubElement, TAGS, PRINTABLE), max_size=15)


@settings(deadline=None)
@given(ELEMENTS)
def test_what_is_built_is_read_back_in_order(elements: list[SubElement]) -> None:
    """Order and repeats survive, and the size is what was promised."""
    text = build_sub_elements(elements)
    assert list(parse_sub_elements(text)) == elements
    assert len(text) == len(text.encode("latin-1")) == sum(element.size_octets for element in elements)
    pairs = [(element.tag, element.value) for element in elements]
    assert write_sub_elements(iter(pairs)) == text
    assert sub_elements_size_octets(pairs) == len(text)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Whatever a peer sends is either sub-elements, which build the same text again, or a refusal."""
    try:
        built, position = build_sub_elements(parse_sub_elements(text)), 0
    except SubElementError as error:
        built, position = text, error.position_octets
    assert built == text
    assert 0 <= position <= len(text)


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("HN", 0),
        ("HN00", 0),
        ("hn003Ana", 0),
        ("1N003Ana", 0),
        ("HN+03Ana", 2),
        ("HN 03Ana", 2),
        ("HN0x3Ana", 2),
        ("HN٠٠٣Ana", 2),
        ("HN004Ana", 5),
        ("HN003An\n", 5),
        ("HN003AnaST", 8),
        ("HN003Ana ", 8),
    ],
)
def test_a_malformed_sub_element_is_refused_where_it_stands(text: str, position: int) -> None:
    """The refusal names the octet, and signs and spaces are no digits."""
    with pytest.raises(SubElementError) as caught:
        parse_sub_elements(text)
    assert caught.value.position_octets == position


def test_the_first_of_repeated_tags_is_found() -> None:
    """Repeats are kept apart; a tag that is not there gives None."""
    elements = parse_sub_elements("BK001aBK001bTK000")
    assert [first_value(elements, tag) for tag in ("BK", "TK", "XX")] == ["a", "", None]


def test_more_than_a_data_element_holds_is_refused() -> None:
    """999 octets fit, 1000 do not, and the refusal says how much there was."""
    full = [SubElement("AA", "x" * 994)]
    assert len(build_sub_elements(full)) == 999
    with pytest.raises(SubElementsTooLong) as caught:
        build_sub_elements([SubElement("AA", "x" * 995)])
    assert caught.value.size_octets == 1000
    with pytest.raises(SubElementsTooLong):
        build_sub_elements([*full, SubElement("BB", "")])


@pytest.mark.parametrize(
    ("tag", "value"), [("A", ""), ("ABC", ""), ("ab", ""), ("AA", "ł"), ("AA", "\x1b[2J"), ("AA", "\xa0")]
)
def test_a_bad_sub_element_cannot_be_made(tag: str, value: str) -> None:
    """A tag of another form, a character outside Latin-1 and a control are our own faults."""
    with pytest.raises(ValueError, match="sub-element"):
        SubElement(tag, value)
    with pytest.raises(ValueError, match="sub-element"):
        write_sub_elements([("HN", "Ana"), (tag, value)])
