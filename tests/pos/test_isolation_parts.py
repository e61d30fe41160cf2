"""The parts of ``benchmarks.isolation`` that decide what it says: a network's own records, its own settlement file, and the ratios."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from benchmarks.isolation_account import Reading
from benchmarks.isolation_books import differences, their_file
from benchmarks.isolation_load import Outcome, Sale, read_journal
from benchmarks.isolation_table import Phase, above, as_text, measured, worst_of_others
from messages.settlement_file import SettlementReader
from vending.commission import CommissionTerms, CommissionTier
from vending.money import BasisPoints

ASKED = datetime(2026, 8, 14, 15, 30, tzinfo=UTC)


def sale(stan: str) -> Sale:
    return Sale(
        stan=stan, terminal_id="R0000001", transmitted_at=ASKED, meter_number="37000000002", paid_centavos=200_000
    )


def test_a_journal_knows_what_is_open_after_a_death_in_the_middle_of_a_line(tmp_path: Path) -> None:
    """What was asked and has no outcome is asked again; a line that was cut short was never sent."""
    path = tmp_path / "red.journal"
    asked = [f"ask,R0000001,00000{n},2026-08-14T15:30:00+00:00,37000000002,200000\n" for n in (1, 2, 3)]
    path.write_text(asked[0] + asked[1] + "end,R0000001,000001,00,000000000001,0814,7\n" + asked[2][:20])
    unfinished, outcomes = read_journal(path)
    assert unfinished == {("R0000001", "000002"): sale("000002")}
    assert outcomes == [Outcome(sale=sale("000001"), code="00", rrn="000000000001", day="0814", receipt="7")]
    assert read_journal(tmp_path / "none") == ({}, [])


def test_a_networks_own_file_is_of_our_layout_and_sums_up() -> None:
    """The reader of settlement files takes it, trailer and all, with commission and tax by the network's terms."""
    terms = CommissionTerms(
        valid_from=date(2026, 1, 1),
        tiers=[CommissionTier(share_basis_points=BasisPoints(150))],
        tax_basis_points=BasisPoints(1900),
    )
    sold = [Outcome(sale=sale(f"00000{n}"), code="00", rrn="000000000001", day="0814", receipt=str(n)) for n in (9, 3)]
    octets = their_file("recargas", date(2026, 8, 14), sold, terms)
    reader = SettlementReader(octets.splitlines(keepends=True))
    lines = [line for _, line in reader.lines()]
    assert (reader.acquirer_id, reader.day) == ("recargas", date(2026, 8, 14))
    assert [(line.receipt, line.stan, line.local_time) for line in lines] == [
        (3, "000003", "2026-08-14T10:30:00"),
        (9, "000009", "2026-08-14T10:30:00"),
    ]
    assert {(line.paid_centavos, line.commission_centavos, line.tax_centavos) for line in lines} == {
        (200_000, 3_000, 570)
    }


def test_sales_count_in_the_time_in_which_they_were_due_and_only_bystanders_are_judged() -> None:
    """A stall shows where its sales were due; the target of an attack may be as slow as it likes."""
    times = [("", "", 0.0, 10.0), ("a", "echoes", 10.0, 20.0), ("", "", 20.0, 30.0)]
    phases = [
        Phase(target=target, fault=fault, start=start, end=end, shares={"switch": 0.1}, did={})
        for target, fault, start, end in times
    ]
    quiet = [(float(second), 10.0) for second in (*range(10), *range(20, 30))]
    latencies = {
        "a": [*quiet, *((float(second), 900.0) for second in range(10, 20))],
        "b": [*quiet, *((float(second), 15.0) for second in range(10, 20))],
    }
    rows = measured(phases, latencies, quiet)
    assert [(row["target"], row["fault"], row["networks"]["b"]["ratio"]) for row in rows] == [
        ("", "quiet", 1.0),
        ("a", "echoes", 1.5),
    ]
    assert rows[1]["networks"]["a"]["ratio"] == 90.0
    assert worst_of_others(rows) == 1.5
    assert not above(rows)
    latencies["b"] = quiet
    assert worst_of_others(measured(phases, latencies, quiet)) == float("inf")


def test_the_median_of_its_rounds_counts_and_the_table_says_how_many_there_were() -> None:
    """One slow round of three is the machine's; two of three are not."""
    rounds = [("", 0.0), *(("a", float(start)) for start in (10, 20, 30))]
    phases = [
        Phase(target=target, fault="echoes" if target else "", start=start, end=start + 10, shares={}, did={})
        for target, start in rounds
    ]

    def rows(*p99s_ms: float) -> list[dict[str, Any]]:
        points = [(10.0 * each + second, ms) for each, ms in enumerate((10.0, *p99s_ms)) for second in range(10)]
        return measured(phases, {"a": points, "b": points}, points)

    calm, bad = rows(90.0, 12.0, 15.0), rows(90.0, 12.0, 25.0)
    assert calm[1]["networks"]["b"]["rounds_p99_ms"] == [90.0, 12.0, 15.0]
    assert (calm[1]["networks"]["b"]["ratio"], above(calm)) == (1.5, [])
    assert (bad[1]["networks"]["b"]["ratio"], above(bad)) == (2.5, [("a", "echoes")])
    result = {"rows": bad, "above": above(bad), "settlement_differences": 0, "ledger_check": {"agrees": True}}
    assert "25 ms 2.50 (3)" in as_text(result)
    assert "above 2 times quiet: 1 of 1 rows" in as_text(result)


def test_whose_the_processors_were() -> None:
    """What is known by name is taken from what the machine did; the rest is others'."""
    before = Reading(at_seconds=10.0, used_seconds={"switch": 5.0, "loads": 1.0}, busy_seconds=90.0, waited_seconds=3.0)
    after = Reading(at_seconds=14.0, used_seconds={"switch": 6.0, "loads": 3.0}, busy_seconds=97.0, waited_seconds=4.0)
    assert after.shares_since(before) == {"switch": 0.25, "loads": 0.5, "others": 1.0, "waited": 0.25}


def test_an_open_sale_is_a_difference() -> None:
    """What a network never learnt is no agreement."""
    days = {"2026-08-14": {"differences": 2}, "2026-08-15": {"differences": 0}}
    assert differences({"a": {"open": 1, "days": days}, "b": {"open": 0, "days": {}}}) == 3
