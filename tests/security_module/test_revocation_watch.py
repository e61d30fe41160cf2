"""The watch over revocations goes on, whatever becomes of the file that it looks at."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.defer import Deferred, succeed

from security_module.revocation_watch import RevocationWatch
from security_module.server import Links

PIN = "ab" * 32


def test_a_file_that_cannot_be_looked_at_is_looked_at_again(tmp_path: Path) -> None:
    """A look that failed out of the loop would end it, and nobody would be revoked any more until the module is started again."""
    ended: set[str] = set()
    recorded: list[Any] = []

    def run(work: Callable[[Any], Any]) -> Deferred[Any]:
        return succeed(work(SimpleNamespace(revoke=recorded.extend)))

    module = SimpleNamespace(commits=SimpleNamespace(run=run))
    watch = RevocationWatch(
        tmp_path / "module" / "revoked.json",
        cast(Links, SimpleNamespace(revoked=set(), revoke=ended.update, module=module)),
    )
    (tmp_path / "module").write_bytes(b"in the place of the directory")
    watch.look()
    assert not ended

    (tmp_path / "module").unlink()
    (tmp_path / "module").mkdir()
    asked = {"spki_sha256": PIN, "name": "till", "role": "switch", "by": "ana", "reason": "stolen", "asked_at": "now"}
    (tmp_path / "module" / "revoked.json").write_text(json.dumps([asked]))
    watch.look()
    assert ended == {PIN}
    assert [each["spki_sha256"] for each in recorded] == [PIN]
