from pathlib import Path

from acquirers.response_codes import ISO_1987
from vending.response_code import ResponseCode

DOCUMENT = Path(__file__).parents[2] / "docs" / "wire" / "datafono.md"


def test_every_code_has_a_spelling_of_its_own() -> None:
    """The map is total, and the way back is a map too."""
    assert set(ISO_1987) == set(ResponseCode)
    assert len(set(ISO_1987.values())) == len(ISO_1987)
    assert all(len(digits) == 2 and digits.isdecimal() for digits in ISO_1987.values())


def test_the_document_lists_the_codes_that_are_sent() -> None:
    """Digits, name and finality of each row are those of the code, in the order of precedence."""
    section = DOCUMENT.read_text(encoding="utf-8").split("\n## Response codes (39)\n")[1].split("\n## ")[0]
    rows = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in section.splitlines() if "|" in line]
    assert rows[0][:3] == ["39", "Name", "Final"]
    assert [(row[0], row[1], row[2] == "yes") for row in rows[2:]] == [
        (ISO_1987[code], code.value, code.is_final) for code in ResponseCode
    ]
