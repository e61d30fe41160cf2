"""Every fuzz target over its seeds and over the same spoilt copies each time, so that targets cannot rot between two long runs."""

import zlib

import pytest

from tests.fuzz import corpus
from tests.fuzz.targets import TARGETS

SPOILED_PER_TARGET = 1500


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_takes_its_seeds_and_what_is_made_of_them(name: str) -> None:
    """Good octets and spoilt ones are read or refused, and nothing else happens."""
    target = TARGETS[name]
    seeds = target.seeds()
    assert len(seeds) >= 5
    for octets in seeds:
        target.run(octets)
    for octets in corpus.spoiled(seeds, seed=zlib.crc32(name.encode()), count=SPOILED_PER_TARGET):
        target.run(octets)
    target.run(b"")


def test_the_seeds_are_good_messages() -> None:
    """The seeds are the documents' messages, so that the search begins behind the first checks."""
    assert len(corpus.datafono_frames()) >= 15
    assert len(corpus.module_bodies(are_replies=True)) >= 8
    assert len(corpus.module_bodies(are_replies=False)) >= 14
