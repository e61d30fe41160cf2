"""A look at every network: what it may still sell, and the settlement files that its directory still lacks."""

from datetime import date
from pathlib import Path

from sqlalchemy import Connection, Engine, text

from ledger.database import transact
from ledger.network_terms import read_floats
from ledger.settlement_file import DayNotClosed, SettlementDiffers, undelivered_days, write_settlement_file
from vending.calendar import local_date
from vending.settlement import FloatLevel, LookAtNetworks, NetworksSeen

_DELIVERER = 0x5E771E
"""The advisory lock of whoever writes files into the networks' directories."""

_TAKE = text("SELECT pg_try_advisory_xact_lock(:deliverer)")


def look_at_networks(engine: Engine, look: LookAtNetworks) -> NetworksSeen:
    """Read the floats, and write the files of closed days that no directory got yet; what fails is told and tried at the next look.

    Of several processes that look at once one writes: two would fill the same file, and put it back when the network has moved it away.

    Raises:
        LedgerUnavailable: some files may be written.
        LedgerOutcomeUnknown: likewise; a file that is written again is the same.
    """
    floats = tuple(
        FloatLevel(
            acquirer_id=each.acquirer_id,
            available_centavos=each.available_centavos,
            warning_centavos=each.warning_centavos,
        )
        for each in read_floats(engine)
    )

    def work(connection: Connection, _attempt: int) -> NetworksSeen:
        is_mine = bool(connection.execute(_TAKE, {"deliverer": _DELIVERER}).scalar_one())
        return _deliver(engine, look, floats) if is_mine else NetworksSeen(floats=floats, delivered=(), failed=())

    return transact(engine, work)


def _deliver(engine: Engine, look: LookAtNetworks, floats: tuple[FloatLevel, ...]) -> NetworksSeen:
    delivered: list[tuple[str, date]] = []
    failed: list[tuple[str, str]] = []
    today, told = local_date(look.at), dict(look.told)
    for acquirer_id, directory in look.directories:
        for day in undelivered_days(engine, acquirer_id, today):
            try:
                write_settlement_file(
                    engine,
                    acquirer_id,
                    day,
                    Path(directory),
                    look.at,
                    is_delivery=True,
                    told_to=told.get(acquirer_id),
                )
            except (OSError, DayNotClosed, SettlementDiffers) as error:
                failed.append((acquirer_id, str(error)))
                break
            delivered.append((acquirer_id, day))
    return NetworksSeen(floats=floats, delivered=tuple(delivered), failed=tuple(failed))
