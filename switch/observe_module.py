"""What happens on the links to the security modules, as metrics and log lines."""

from hsm_client.observer import LinkState
from switch.log import Event, log
from switch.metrics import Metrics


class ModuleObserver:
    """A `hsm_client.observer.LinkObserver`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def link_changed(self, link: str, old: LinkState, new: LinkState) -> None:
        """Show whether the link can be used; a line only when that changes."""
        self._metrics.module_link_up.labels(link).set(1 if new is LinkState.UP else 0)
        if new is LinkState.UP:
            log.info(Event.MODULE_LINK_UP, endpoint=link)
        elif old is LinkState.UP:
            log.warning(Event.MODULE_LINK_DOWN, endpoint=link)

    def connection_failed(self, link: str, reason: str) -> None:
        """Count an attempt that failed."""
        self._metrics.module_requests.labels("connect", "failed").inc()
        log.debug(Event.MODULE_LINK_DOWN, endpoint=link, reason=reason)

    def reconnect_scheduled(self, link: str, failures: int, delay_seconds: float) -> None:
        """Do nothing: the link's state shows it."""

    def request_timed_out(self, link: str) -> None:
        """Count a request without an answer in time."""
        self._metrics.module_requests.labels("request", "timed_out").inc()

    def reply_late(self, link: str) -> None:
        """Count an answer that came too late."""
        self._metrics.module_requests.labels("request", "late").inc()

    def request_retried(self, link: str) -> None:
        """Count a request that was sent again."""
        self._metrics.module_requests.labels("request", "retried").inc()
