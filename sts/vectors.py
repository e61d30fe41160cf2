"""Running a file of test vectors: JSON with ``vectors``, each with ``id``, ``algorithm``, ``inputs`` and ``output``.

The name of an algorithm is read part by part, so that every combination of parts can be asked for:

| algorithm | inputs | output |
|---|---|---|
| AmountField | units, or field | 4 hex digits, or units |
| CurrencyField | currency_units, or field and extra | "hhhh/h", or currency_units |
| CRC16-ARC, CRC16-STS, CRC16-STS-C (CRC-C) | ascii, or data (hex) | 4 hex digits |
| Luhn, Luhn-validate | digits | the digit; true or false |
| PAN | drn, or pan | the PAN, or its meter number |
| TID | time, bdt; or tid, bdt; special | identifier, or time |
| DES, MISTY1, STA | key, plaintext or ciphertext; STA: tables, class | 16 hex digits (17 with class) |
| DKGA02, DKGA04 | vk, pan, sgc, ti, krn, kt, bdt, ea | the decoder key |
| Transposition | block, class; or number | 17 hex digits, or "block/class" |
| Class1Token | subclass, control, mfr | the token |
| Token..., TokenClass0-..., TokenClass2-..., TokenCurrency-..., TokenExtended-... | decoder key or its inputs; class, subclass, time or tid, rnd, value | the token |
| KeyChange-... | old, new, ken, ro, triplet | a list of tokens |
| MeterBehaviour | meter, made, tokens and what is not as usual | a list of results |

``-EA07``, ``-EA11``, ``-DKGA02``, ``-DKGA04`` and ``-decoderkey`` in a name are what the inputs do not say and must agree with.

A null inside an expected list is not looked at. A vector that must be refused says so by ``"result": "invalid"``, by a null as its
output, or by "invalid" or "error" in its place; "refused" means that the package raised one of its own errors, nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sts.errors import StsError
from sts.vector_algorithms import compute

Json = Any
"""What `json.load` gives; vectors are written by strangers, so nothing is taken for granted."""

_REFUSAL_WORDS = frozenset({"invalid", "error", "refused", "rejected"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The package refused the inputs of a vector."""

    reason: str

    def __str__(self) -> str:
        return f"refused: {self.reason}"


def run_vectors(document: Json) -> dict[str, Json]:
    """Run every vector of *document*.

    Args:
        document: the parsed file: an object with ``vectors``, or the list itself.

    Returns:
        ``{"vectors": N, "passed": N, "failed": [{"id", "expected", "got"}]}``, ready for JSON. A vector that cannot be run at
        all is a failed one, with the reason in ``got``.

    Raises:
        ValueError: there is no list of vectors in *document*.
    """
    vectors = document.get("vectors") if isinstance(document, Mapping) else document
    if not isinstance(vectors, list):
        raise ValueError("a vector file is an object with a list of vectors")
    failed = []
    for position, vector in enumerate(vectors):
        failure = _run_one(vector, position)
        if failure is not None:
            failed.append(failure)
    return {"vectors": len(vectors), "passed": len(vectors) - len(failed), "failed": failed}


def _run_one(vector: Json, position: int) -> dict[str, Json] | None:
    if not isinstance(vector, Mapping):
        return {"id": f"#{position}", "expected": None, "got": "not a vector: not an object"}
    identity = vector.get("id", f"#{position}")
    expected = vector.get("output")
    try:
        got = compute(str(vector["algorithm"]), vector["inputs"])
    except StsError as refusal:
        got = Refusal(reason=str(refusal))
    # A stranger's vector can be wrong in any way, and one of them must not keep the others from being run.
    except Exception as fault:  # noqa: BLE001
        return {"id": identity, "expected": expected, "got": f"cannot be run: {type(fault).__name__}: {fault}"}
    if _is_right(vector, got):
        return None
    return {"id": identity, "expected": expected, "got": str(got) if isinstance(got, Refusal) else got}


def _is_right(vector: Mapping[str, Json], got: Json) -> bool:
    expected = vector.get("output")
    if _wants_refusal(expected):
        return isinstance(got, Refusal)
    if vector.get("result") == "invalid":
        return isinstance(got, Refusal) or not _equal(expected, got)
    return _equal(expected, got)


def _wants_refusal(expected: Json) -> bool:
    if isinstance(expected, Mapping):
        return "error" in expected
    return expected is None or (isinstance(expected, str) and expected.split(":")[0].lower() in _REFUSAL_WORDS)


def _equal(expected: Json, got: Json) -> bool:
    if isinstance(expected, list):
        return (
            isinstance(got, list)
            and len(expected) == len(got)
            and all(e is None or _equal(e, g) for e, g in zip(expected, got, strict=True))
        )
    if isinstance(expected, str) and isinstance(got, str):
        # Digits may be written in groups of four, hexadecimal in either case.
        return expected.replace(" ", "").lower() == got.replace(" ", "").lower()
    return type(expected) is type(got) and bool(expected == got)
