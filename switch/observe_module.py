"""What happens on the links to the security modules, as metrics and log lines."""

from hsm_client.observer import LinkState
from switch.log import Event, log
from switch.metrics import Metrics


class ModuleObserver:
    """A `hsm_client.observer.LinkObserver` and `hsm_client.prism.PrismNews`."""

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

    def token_made(self, link: str, request_id: int, *, module_id: str, key_check_value: str, tid: int) -> None:
        """Write down which module and key made a token: such a service keeps no lists that we could ask for."""
        log.info(
            Event.PRISM_TOKEN_ISSUED,
            endpoint=link,
            request_id=request_id,
            module=module_id,
            key_check_value=key_check_value,
            tid=tid,
        )

    def tid_differs(self, link: str, request_id: int, *, asked: int, got: int) -> None:
        """Count it and say it: the ledger has another identifier than the token."""
        self._metrics.module_requests.labels("request", "tid_differs").inc()
        log.warning(Event.PRISM_TID_MOVED, endpoint=link, request_id=request_id, asked=asked, got=got)
