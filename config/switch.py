"""Section ``switch``: the process itself, its batches and its clean-up work."""

from typing import Annotated

from pydantic import Field

from config.section import ListenHost, PortNumber, Seconds, Section


class SwitchSection(Section):
    """Limits of one switch process.

    Attributes:
        processes: how many `eudora switch run` runs side by side on the same ports, under a supervisor that starts again what dies and
            restarts them in turn. Unset: it is the one process itself.
        metrics_host: address of the HTTP port with ``/metrics`` and ``/health``.
        metrics_port: its port, of the first of several processes; the others have the ports behind it. 0 lets the system choose.
        batch_sales_max: sales in one ledger transaction; beyond some hundred a batch gains nothing and delays its first sale.
        queue_sales_max: sales waiting for a batch; above it the answer is "overloaded" (90), because a sale that waits longer
            than its deadline only costs.
        resolver_interval_seconds: how often sales without a known outcome are looked for.
        resolver_age_seconds: a reservation younger than this still belongs to its own request.
        resolver_sales_max: how many are taken up at a time.
        close_days_interval_seconds: how often the totals of settlement days that are over are looked for and written.
        notices_interval_seconds: how often notices to networks are looked for; a lane that goes is not held up by it.
        drain_seconds: after SIGTERM answers in work may take this long, then the process ends and the resolver of the next one
            finishes the rest.
    """

    processes: Annotated[int, Field(ge=1, le=64)] | None = None
    metrics_host: ListenHost = "127.0.0.1"
    metrics_port: PortNumber = 9464
    batch_sales_max: int = Field(default=256, ge=1, le=1024)
    queue_sales_max: int = Field(default=8192, ge=1, le=65536)
    resolver_interval_seconds: Seconds = 5.0
    resolver_age_seconds: Seconds = 15.0
    resolver_sales_max: int = Field(default=256, ge=1, le=4096)
    close_days_interval_seconds: Seconds = 60.0
    notices_interval_seconds: Seconds = 2.0
    drain_seconds: Seconds = 15.0
