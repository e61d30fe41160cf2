"""Any m of n shares give the key back; fewer, mistyped, mixed or old ones do not, and never silently another key."""

import hashlib
import itertools
import os
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from security_module.sealed_store import Header, StoreError, kek_for_custodians
from security_module.shares import Share, ShareError, combine, read_share, split
from vending.secret import Secret

_NAMES = ("Ana", "Beto", "Caro", "Dora", "Eva", "Fito", "Gina", "Hugo", "Inés")
_SIZES = st.integers(2, 5).flatmap(lambda n: st.tuples(st.integers(2, n), st.just(n)))


@settings(max_examples=40, deadline=None)
@given(size=_SIZES, secret=st.binary(min_size=16, max_size=16))
def test_any_m_of_n_rebuild_and_fewer_do_not(size: tuple[int, int], secret: bytes) -> None:
    """Every choice of m shares gives the secret; one share less is refused, and says nothing even if its threshold is forged."""
    threshold, custodians = size
    shares = split(Secret(secret), threshold=threshold, custodians=custodians, random_octets=os.urandom)
    for chosen in itertools.permutations(shares, threshold):
        assert combine(chosen).reveal() == secret
    assert combine(shares).reveal() == secret
    with pytest.raises(ShareError, match=f"{threshold - 1} shares of {threshold}"):
        combine(shares[: threshold - 1])
    forged = [replace(share, threshold=2) for share in shares[: threshold - 1]]
    if len(forged) >= 2:
        assert combine(forged).reveal() != secret


@settings(max_examples=60, deadline=None)
@given(size=_SIZES, flip=st.integers(1, 2**128 - 1), where=st.integers(0, 8))
def test_a_wrong_share_is_found(size: tuple[int, int], flip: int, where: int) -> None:
    """A share whose value is another one, with a check value that fits it, is named as foreign; the key is not rebuilt."""
    threshold, custodians = size
    kek, shares = kek_for_custodians(_NAMES[:custodians], threshold=threshold, random_octets=os.urandom)
    header = Header(origin=kek.origin, kcv=kek.kcv)
    assert header.kek_from_shares(shares[-threshold:]).key == kek.key
    chosen = list(shares[:threshold])
    at = where % threshold
    value = int.from_bytes(chosen[at].value.reveal(), "big") ^ flip
    chosen[at] = replace(chosen[at], value=Secret(value.to_bytes(16, "big")))
    with pytest.raises(ShareError, match="not one that was handed out"):
        header.kek_from_shares(chosen)
    # Were the digests in the header forged to fit, the check value of the key would still not fit.
    origin = {
        **header.origin,
        "custodians": [
            {**each, "digest": chosen[at].digest()} if each["index"] == chosen[at].index else each
            for each in header.origin["custodians"]
        ],
    }
    with pytest.raises(StoreError, match="key check value"):
        Header(origin=origin, kcv=header.kcv).kek_from_shares(chosen)


@given(value=st.binary(min_size=16, max_size=16), at=st.integers(0, 43), digit=st.sampled_from("0123456789ABCDEF"))
def test_a_mistyped_digit_is_found(value: bytes, at: int, digit: str) -> None:
    """What is written reads back, blanks and case apart; another digit is refused (this often: once in 65 536 it is not)."""
    share = Share(set_id="ab12", threshold=2, index=1, value=Secret(value))
    written = share.groups().reveal()
    assert [len(group) for group in written.split(" ")] == [4] * 11
    assert read_share(Secret(written.lower().replace(" ", "-"))) == share
    digits = written.replace(" ", "")
    typed = digits[:at] + digit + digits[at + 1 :]
    changed = bytes.fromhex(typed)
    if typed != digits and hashlib.sha256(changed[:-2]).digest()[:2] != changed[-2:]:
        with pytest.raises(ShareError):
            read_share(Secret(typed))


def test_mixed_and_repeated_shares_are_refused() -> None:
    """Shares of two sets, one twice, an old set, and what is no share at all."""
    kek, shares = kek_for_custodians(_NAMES[:3], threshold=2, random_octets=os.urandom)
    other, old = kek_for_custodians(_NAMES[:3], threshold=2, random_octets=os.urandom)
    header = Header(origin=kek.origin, kcv=kek.kcv)
    with pytest.raises(ShareError, match="one set"):
        combine([shares[0], old[1]])
    with pytest.raises(ShareError, match="twice"):
        combine([shares[0], shares[0]])
    with pytest.raises(ShareError, match=f"needs set {kek.origin['set']}"):
        header.custodian(old[0])
    assert other.key != kek.key
    assert [header.custodian(share) for share in shares] == ["Ana", "Beto", "Caro"]
    for wrong in ("", "AB" * 21, "XY" * 22, shares[0].groups().reveal() + "0"):
        with pytest.raises(ShareError):
            read_share(Secret(wrong))
    with pytest.raises(ValueError, match="1 of 3"):
        split(Secret(bytes(16)), threshold=1, custodians=3, random_octets=os.urandom)


def test_a_share_does_not_show_itself() -> None:
    """Neither the share nor the key is in the text that a traceback or a log would hold."""
    kek, shares = kek_for_custodians(_NAMES[:2], threshold=2, random_octets=os.urandom)
    shown = f"{shares!r} {kek!r} {shares[0].groups()!r}"
    for secret in (kek.key.reveal(), *(share.value.reveal() for share in shares)):
        assert secret.hex() not in shown.lower()
        assert repr(secret) not in shown
