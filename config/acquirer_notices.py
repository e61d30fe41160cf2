"""Section ``acquirers.<id>.notices``: what a network is told of our own accord, and how patiently."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from config.section import Seconds, Section

NoticeName = Literal["settlement", "outcome", "adjustment"]


class NoticesSection(Section):
    """Notices to a network: stored with what they tell of, sent in order until the network says that it has them.

    Attributes:
        kinds: which. ``settlement``: the file of a closed day is in its directory (0520, 1520). ``outcome``: what became of a sale whose
            caller was told to ask again, or whose answer did not leave (0220 or 0420, 1220 or 1420). ``adjustment``: two people gave
            something back for a sale (0220, 1220).
        over_their_links: whether they also go over connections that the network opened, once it signed on there and its MACs are right. Not
            where terminals connect by themselves: any of them could be the one that is told.
        answer_timeout_seconds: how long one try waits for its answer.
        backoff_min_seconds: upper bound of the first wait after a try without success; it doubles with every further one, and every wait
            is drawn evenly below its bound.
        backoff_max_seconds: upper bound of every wait.
        tries_max: a notice that may have left so often becomes a dead letter.
        age_hours_max: a notice older than this becomes a dead letter.
    """

    kinds: Annotated[tuple[NoticeName, ...], Field(min_length=1, max_length=3)] = (
        "settlement",
        "outcome",
        "adjustment",
    )
    over_their_links: bool = False
    answer_timeout_seconds: Seconds = 15.0
    backoff_min_seconds: Seconds = 2.0
    backoff_max_seconds: Seconds = 600.0
    tries_max: int = Field(default=200, ge=1, le=100_000)
    age_hours_max: int = Field(default=72, ge=1, le=8784)

    @model_validator(mode="after")
    def _times_agree(self) -> Self:
        if self.backoff_min_seconds > self.backoff_max_seconds:
            raise ValueError("backoff_min_seconds is above backoff_max_seconds")
        return self
