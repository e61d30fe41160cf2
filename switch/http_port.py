"""The HTTP port of the switch: ``/metrics`` for Prometheus and ``/health`` for whoever decides where traffic goes."""

import json
from collections.abc import Callable, Mapping
from typing import Final, cast

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import OK, SERVICE_UNAVAILABLE, Request
from twisted.web.pages import notFound
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

HTTP_IDLE_SECONDS: Final = 60.0
"""A scraper asks every few seconds; a connection quiet for longer belongs to nobody."""

Health = Callable[[], Mapping[str, object]]
"""Says how the process is: ``status`` is "ready" or anything else (starting, draining, ledger_lost), the rest is for people."""

InThread = Callable[[Callable[[], bytes]], Deferred[bytes]]
"""Runs a function elsewhere; ``partial(deferToThreadPool, reactor, pool)`` in a process."""


class MetricsResource(Resource):
    """Writes the registry out.

    Twenty networks make some ten milliseconds of text, longer than a sale takes, so it is made in a thread.
    """

    isLeaf = True

    def __init__(self, registry: CollectorRegistry, in_thread: InThread) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._registry = registry
        self._in_thread = in_thread
        self._log = Logger()

    def render_GET(self, request: Request) -> int:  # noqa: N802 - the name is Twisted's
        """Answer when the text is made, unless the scraper has gone."""
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)

        def answer(text: bytes) -> None:
            if not gone:
                request.setHeader(b"content-type", CONTENT_TYPE_LATEST.encode("ascii"))
                request.write(text)
                request.finish()

        def fail(failure: Failure) -> None:
            self._log.failure("metrics could not be written", failure)
            if not gone:
                request.setResponseCode(500)
                request.finish()

        self._in_thread(lambda: generate_latest(self._registry)).addCallbacks(answer, fail)
        return NOT_DONE_YET


class HealthResource(Resource):
    """Answers 200 while the process is ready and 503 otherwise, with the reasons as JSON."""

    isLeaf = True

    def __init__(self, health: Health) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._health = health

    def render_GET(self, request: Request) -> bytes:  # noqa: N802 - the name is Twisted's
        """Answer at once."""
        state = self._health()
        request.setResponseCode(OK if state.get("status") == "ready" else SERVICE_UNAVAILABLE)
        request.setHeader(b"content-type", b"application/json")
        request.setHeader(b"cache-control", b"no-store")
        return json.dumps(state, ensure_ascii=False, default=str).encode("utf-8") + b"\n"


class _Root(Resource):
    """Knows two pages."""

    def getChild(self, path: bytes, request: Request) -> Resource:  # noqa: N802 - the name is Twisted's
        """Answer 404 to anything else."""
        del path, request
        return cast(Resource, notFound())


class QuietSite(Site):
    """A site without an access log: scrapes every few seconds would bury what matters."""

    noisy = False
    displayTracebacks = False  # noqa: N815 - the name is Twisted's

    def log(self, request: Request) -> None:
        """Write nothing."""


def monitoring_site(
    *, registry: CollectorRegistry, health: Health, in_thread: InThread, clock: IReactorTime
) -> QuietSite:
    """Make the site that ``reactor.listenTCP`` gets."""
    root = _Root()  # type: ignore[no-untyped-call]
    root.putChild(b"metrics", MetricsResource(registry, in_thread))
    root.putChild(b"health", HealthResource(health))
    return QuietSite(root, timeout=HTTP_IDLE_SECONDS, reactor=clock)  # type: ignore[no-untyped-call]
