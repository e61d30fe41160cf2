"""Run one target under atheris: ``python -m tests.fuzz.run_atheris TARGET SECONDS DIRECTORY``; `make fuzz` runs them all.

Without arguments the names of the targets are written.

The corpus that the search collects stays in DIRECTORY/TARGET, and so does the input of a crash.
"""

import hashlib
import sys
from pathlib import Path

MEASURED = ["messages", "acquirers", "hsm_client", "security_module", "vending"]
"""Packages whose branches lead the search."""


def main(name: str, seconds: int, directory: Path) -> None:
    """Write the seeds where the search finds them, and search."""
    # Not at the top: atheris is installed for `make fuzz` only, and measures what is imported within its own block.
    import atheris

    with atheris.instrument_imports(include=MEASURED, enable_loader_override=False):
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]
    corpus = directory / name
    corpus.mkdir(parents=True, exist_ok=True)
    for octets in target.seeds():
        (corpus / hashlib.sha256(octets).hexdigest()[:40]).write_bytes(octets)
    options = [
        f"-max_total_time={seconds}",
        f"-artifact_prefix={directory}/{name}-",
        "-print_final_stats=1",
        "-max_len=4096",
        "-timeout=10",
        "-rss_limit_mb=1024",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], target.run)
    atheris.Fuzz()


def names() -> str:
    """Return the names of all targets, one on each line."""
    from tests.fuzz.targets import TARGETS

    return "".join(f"{name}\n" for name in TARGETS)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.stdout.write(names())
        sys.exit()
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
