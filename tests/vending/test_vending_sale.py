"""The life of a sale."""

import pytest

from vending.sale import (
    TABLE,
    ConfirmationState,
    DeliveryState,
    ParkingState,
    SaleEvent,
    SaleState,
    TransitionNotAllowed,
    advance,
    render_markdown,
)

ALL_STATES = (*SaleState, *ConfirmationState, *DeliveryState, *ParkingState)


@pytest.mark.parametrize("state", ALL_STATES)
@pytest.mark.parametrize("event", SaleEvent)
def test_only_the_table_moves_a_sale(state: SaleState, event: SaleEvent) -> None:
    """Every pair of state and event is either a row of the table or refused."""
    rows = [row for row in TABLE if row.before is state and row.event is event]
    if rows:
        assert advance(state, event) is rows[0].after
    else:
        with pytest.raises(TransitionNotAllowed):
            advance(state, event)


def test_rows_stay_in_their_lifecycle() -> None:
    """No row leads from being sold to being delivered or confirmed."""
    assert all(type(row.before) is type(row.after) for row in TABLE)


def reachable(start: SaleState, *, without: SaleState | None = None) -> set[object]:
    """Return the states that can follow *start*, itself included, on ways that do not cross *without*."""
    seen: set[object] = set()
    waiting: list[object] = [start]
    while waiting:
        state = waiting.pop()
        if state in seen or state is without:
            continue
        seen.add(state)
        waiting += [row.after for row in TABLE if row.before is state]
    return seen


def test_every_state_is_reached_and_every_open_one_can_end() -> None:
    """A sale can come to every state, and from no state but an end is there no way to an end."""
    assert reachable(SaleState.RECEIVED) == set(SaleState)
    ends = {SaleState.POSTED, SaleState.VOID, SaleState.DECLINED}
    for state in SaleState:
        assert reachable(state) & ends


def test_nothing_is_posted_without_a_reservation() -> None:
    """Money is never posted that was not set aside by commit 1."""
    assert SaleState.POSTED not in reachable(SaleState.RECEIVED, without=SaleState.RESERVED)


@pytest.mark.parametrize("end", [SaleState.POSTED, SaleState.VOID, SaleState.DECLINED])
def test_an_end_stays(end: SaleState) -> None:
    """What is posted, void or declined is so for ever."""
    assert reachable(end) == {end}


def test_a_minted_token_is_never_voided_directly() -> None:
    """Where a token may have left, the money is not given back."""
    with pytest.raises(TransitionNotAllowed, match="minted"):
        advance(SaleState.MINTED, SaleEvent.MODULE_REFUSED)


def test_a_claimed_token_is_never_parked_again() -> None:
    """Once another sale handed it out it has been paid for, for good; a promised one can come back."""
    state = ParkingState.CLAIMED
    assert {row.after for row in TABLE if row.before is state} == {state}
    assert advance(ParkingState.PROMISED, SaleEvent.CLAIM_VOID) is ParkingState.PARKED


def test_markdown_lists_every_row_once() -> None:
    """The documentation is generated from the table and leaves no row out."""
    text = render_markdown()
    for row in TABLE:
        line = f"| {row.before.value} | {row.event.value} | {row.after.value} | {row.why} |"
        assert text.count(line) == 1
    assert text.count("###") == 4
