"""Section ``acquirers.<id>.links``: the connections that we open to a network's hosts."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from config.section import EndpointText, Seconds, Section


class LinksSection(Section):
    """Links that every switch process opens to a network's hosts, for the roles in which we connect.

    Attributes:
        hosts: one to eight addresses, ``"10.1.0.7:5000"``. The links are dealt out over them; one that fails goes on to the next.
        count: links at once.
        signs_on: whether a link is up only after the host approved our sign-on (0800/001, 1804/801).
        echo_interval_seconds: a link on which nothing came for so long is asked whether it lives.
        answer_timeout_seconds: a host that does not answer a sign-on or an echo in this time loses the link.
        connect_timeout_seconds: TCP; what has not connected by then does not.
        backoff_min_seconds: upper bound of the first wait before reconnecting; it doubles with every failure, and every wait is drawn
            evenly below its bound, so that many switches do not come back at one moment.
        backoff_max_seconds: upper bound of every wait.
        stable_after_seconds: a link up for so long begins again with the first wait.
        tpdu_destination: NII of the host in the TPDU of what we ask, 4 hex digits, where the network has TPDUs.
    """

    hosts: Annotated[tuple[EndpointText, ...], Field(min_length=1, max_length=8)]
    count: Annotated[int, Field(ge=1, le=64)] = 1
    signs_on: bool = True
    echo_interval_seconds: Seconds = 60.0
    answer_timeout_seconds: Seconds = 10.0
    connect_timeout_seconds: Seconds = 5.0
    backoff_min_seconds: Seconds = 0.5
    backoff_max_seconds: Seconds = 30.0
    stable_after_seconds: Seconds = 30.0
    tpdu_destination: str = Field(default="0000", pattern=r"^[0-9A-F]{4}$")

    @model_validator(mode="after")
    def _times_agree(self) -> Self:
        if self.backoff_min_seconds > self.backoff_max_seconds:
            raise ValueError("backoff_min_seconds is above backoff_max_seconds")
        return self
