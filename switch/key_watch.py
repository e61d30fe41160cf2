"""Looks at the networks' session keys again and again, so that their age is known, and told of, where no message comes."""

from collections.abc import Mapping

from twisted.internet.interfaces import IReactorTime

from switch.again import Again
from switch.exchange import Exchange
from switch.log import Event, log
from switch.session_keys import PICTURE_SECONDS
from vending.response_code import Refusal


class KeyWatch(Again):
    """Looks at start and then every `PICTURE_SECONDS`.

    Args:
        exchanges: of all networks, by id, always as they are now.
    """

    def __init__(self, exchanges: Mapping[str, Exchange], *, reactor: IReactorTime) -> None:
        self._exchanges = exchanges
        super().__init__(
            self.look, interval_seconds=PICTURE_SECONDS, failed=Event.SESSION_KEY_LOOK_FAILED, reactor=reactor
        )

    async def look(self) -> None:
        """Look once at the keys of every network that has some."""
        for acquirer_id, exchange in list(self._exchanges.items()):
            try:
                await exchange.session_key_change.look()
            except Refusal as refusal:
                log.warning(Event.SESSION_KEY_LOOK_FAILED, acquirer_id=acquirer_id, failure=refusal.private_detail)
