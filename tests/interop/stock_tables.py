"""Field tables that other makers ship, taken as facts: element, form, length. Each says where and in which version it was read.

Forms: N fixed digits, C fixed characters, X a letter and digits, B octets as hex characters; LL and LLL in front: a length of two or
three digits; LB and LLB: octets as they are behind such a length. Lengths of B count octets.
"""

Table = dict[int, tuple[str, int]]


def _table(text: str) -> Table:
    """Read "4-6 N 12" as three elements."""
    rows: Table = {}
    for row in text.split(","):
        numbers, form, length = row.split()
        first, _, last = numbers.partition("-")
        for number in range(int(first), int(last or first) + 1):
            assert number not in rows
            rows[number] = (form, int(length))
    return rows


JPOS_1987 = _table(
    "2 LLN 19,3 N 6,4-6 N 12,7 N 10,8-10 N 8,11-12 N 6,13-18 N 4,19-24 N 3,25-26 N 2,27 N 1,28-31 X 9,32-33 LLN 11,34 LLC 28,"
    "35 LLN 37,36 LLLC 104,37 C 12,38 C 6,39 C 2,40 C 3,41 C 8,42 C 15,43 C 40,44 LLC 25,45 LLC 76,46-48 LLLC 999,49-51 C 3,52 B 8,"
    "53 N 16,54 LLLC 120,55-63 LLLC 999,64 B 8,65 B 1,66 N 1,67 N 2,68-70 N 3,71-72 N 4,73 N 6,74-81 N 10,82-85 N 12,86-89 N 16,"
    "90 N 42,91 C 1,92 C 2,93 C 6,94 C 7,95 C 42,96 B 16,97 X 17,98 C 25,99-100 LLN 11,101 LLC 17,102-103 LLC 28,104 LLLC 100,"
    "105-127 LLLC 999,128 B 8"
)
"""github.com/jpos/jPOS, jpos/src/main/java/org/jpos/iso/packager/ISO87APackager.java, commit 0069d9a991fb."""

JPOS_1987_BINARY = _table(
    "2 LLN 19,3 N 6,4-6 N 12,7 N 10,8-10 N 8,11-12 N 6,13-18 N 4,19-24 N 3,25-26 N 2,27 N 1,28-31 X 9,32-33 LLN 11,34 LLC 28,"
    "35 LLN 37,36 LLLC 104,37 C 12,38 C 6,39 C 2,40 C 3,41 C 8,42 C 15,43 C 40,44 LLC 25,45 LLC 76,46-48 LLLC 999,49-51 C 3,52 B 8,"
    "53 N 16,54 LLLC 120,55-63 LLLC 999,64 B 8,65 B 1,66 N 1,67 N 2,68-70 N 3,71-72 N 4,73 N 6,74-81 N 10,82-85 N 12,86-89 N 16,"
    "90 N 42,91 C 1,92 C 2,93 C 6,94 C 7,95 C 42,96 B 16,97 X 17,98 C 25,99-100 LLN 11,101 LLC 17,102-103 LLC 28,104 LLLC 100,"
    "105-127 LLLC 999,128 B 8"
)
"""github.com/jpos/jPOS, jpos/src/main/java/org/jpos/iso/packager/ISO87BPackager.java, commit 01e12cfd7fe2: N two digits to an octet, fixed
ones filled in front, variable ones behind; lengths in BCD; bitmaps and B as octets."""

JPOS_1993 = _table(
    "2 LLN 19,3 N 6,4-6 N 12,7 N 10,8-10 N 8,11 N 6,12 N 12,13-14 N 4,15 N 6,16-18 N 4,19-21 N 3,22 C 12,23-24 N 3,25-26 N 4,27 N 1,"
    "28 N 6,29 N 3,30 N 24,31 LLC 99,32-33 LLN 11,34 LLC 28,35 LLC 37,36 LLLC 104,37 C 12,38 C 6,39-40 N 3,41 C 8,42 C 15,43-44 LLC 99,"
    "45 LLC 76,46 LLLC 204,47-48 LLLC 999,49-51 C 3,52 B 8,53 LB 48,54 LLLC 120,55 LLB 255,56 LLN 35,57 N 3,58 LLN 11,59-63 LLLC 999,"
    "64-65 B 8,66 LLLC 204,67 N 2,68-70 N 3,71 N 8,72 LLLC 999,73 N 6,74-85 N 10,86-89 N 16,90 N 10,91-92 N 3,93-94 LLN 11,95 LLC 99,"
    "96 LLB 999,97 X 17,98 C 25,99 LLC 11,100 LLN 11,101 LLC 17,102-103 LLC 28,104 LLLC 100,105-106 N 16,107-108 N 10,109-110 LLC 84,"
    "111-127 LLLC 999,128 B 8"
)
"""github.com/jpos/jPOS, jpos/src/main/java/org/jpos/iso/packager/ISO93APackager.java, commit 01e12cfd7fe2."""

MOOV_1987 = _table(
    "2 LLN 19,3 N 6,4-6 N 12,7 N 10,8-10 N 8,11-12 N 6,13-18 N 4,19-24 N 3,25-26 N 2,27 N 1,28-31 X 9,32-33 LLN 11,34 LLC 28,"
    "35 LLC 37,36 LLLC 104,37 C 12,38 C 6,39 C 2,40 C 3,41 C 8,42 C 15,43 C 40,44 LLC 99,45 LLC 76,46-48 LLLC 999,49-51 C 3,52 B 8,"
    "53 N 16,54 LLLC 120,55-63 LLLC 999,64 B 8,90 N 42"
)
"""github.com/moov-io/iso8583, specs/spec87ascii.go, commit 365830cd2ba9: strings there, shown here by what the standard has; it ends with
64 but for 90."""
