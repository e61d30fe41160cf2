"""A look at every network: what it may still sell, and the settlement files that its directory still lacks."""

from datetime import date
from pathlib import Path

from sqlalchemy import Engine

from ledger.network_terms import read_floats
from ledger.settlement_file import DayNotClosed, SettlementDiffers, undelivered_days, write_settlement_file
from vending.calendar import local_date
from vending.settlement import FloatLevel, LookAtNetworks, NetworksSeen


def look_at_networks(engine: Engine, look: LookAtNetworks) -> NetworksSeen:
    """Read the floats, and write the files of closed days that no directory got yet; what fails is told and tried at the next look.

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
    delivered: list[tuple[str, date]] = []
    failed: list[tuple[str, str]] = []
    today = local_date(look.at)
    for acquirer_id, directory in look.directories:
        for day in undelivered_days(engine, acquirer_id, today):
            try:
                write_settlement_file(engine, acquirer_id, day, Path(directory), look.at, is_delivery=True)
            except (OSError, DayNotClosed, SettlementDiffers) as error:
                failed.append((acquirer_id, str(error)))
                break
            delivered.append((acquirer_id, day))
    return NetworksSeen(floats=floats, delivered=tuple(delivered), failed=tuple(failed))
