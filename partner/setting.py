"""What a certification or a simulation works with: terminals with their keys, meters, and what the books say of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from partner.case import Ask, Case, Meter, Need, Terminal, Together
from partner.network import Partner
from pos.store import TerminalIdentity
from vending.money import Centavos
from vending.service import Service

UNKNOWN_METER = "37999999999"
"""A number that no maker gives: its last digit is not Luhn's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is at hand. A name that is missing skips the cases that need it.

    Attributes:
        terminals: by what they are for; `Terminal.ORDINARY` must be there.
        meters: numbers by what they are for; `Meter.GOOD` must be there.
        service: of the good meter.
        debt_centavos: what is owed on the owing meter.
        float_centavos: what the network may still sell; None: not known.
        is_tls: whether the port is encrypted.
        may_cut_over: whether the network's day may be closed.
    """

    terminals: Mapping[Terminal, TerminalIdentity] = field(repr=False)
    meters: Mapping[Meter, str]
    service: Service = Service.ENERGY
    debt_centavos: Centavos = Centavos(0)
    float_centavos: Centavos | None = None
    is_tls: bool = False
    may_cut_over: bool = False

    def missing(self, case: Case, partner: Partner) -> list[Need]:
        """Return what *case* needs and is not there."""
        have = {
            Need.BLOCKED_METER: Meter.BLOCKED in self.meters,
            Need.OWING_METER: Meter.OWING in self.meters,
            Need.CLEAR_METER: Meter.CLEAR in self.meters,
            Need.BLOCKED_TERMINAL: Terminal.BLOCKED in self.terminals,
            Need.UNKNOWN_TERMINAL: Terminal.UNKNOWN in self.terminals,
            Need.SPEAKER: Terminal.SPEAKER in self.terminals,
            Need.SMALL_FLOAT: self.float_centavos is not None and self.float_centavos < partner.maximum_centavos,
            Need.PAYMENTS: "payment" in partner.kinds,
            Need.RECHARGES: "recharge" in partner.kinds,
            Need.SIGN_ON: partner.is_sign_on_required,
            Need.NO_SIGN_ON: not partner.is_sign_on_required,
            Need.STANDS: not partner.is_parked,
            Need.PARKED: partner.is_parked,
            Need.SEVERAL_SERVICES: self.other_service(partner, sold=True) is not None,
            Need.ONE_SERVICE: self.other_service(partner, sold=False) is not None,
            Need.BATCHES: partner.speech.has_batches,
            Need.NO_BATCHES: not partner.speech.has_batches,
            Need.TPDU: partner.wire.has_tpdu,
            Need.PLAIN: not self.is_tls,
            Need.CUT_OVER: self.may_cut_over,
        }
        return [need for need in case.needs if not have[need]]

    def other_service(self, partner: Partner, *, sold: bool) -> Service | None:
        """Return a service that is not the good meter's and that the network sells, or does not sell; None: there is none."""
        for each in Service:
            if each is not self.service and (each.name.lower() in partner.services) is sold:
                return each
        return None


def asks_of(case: Case) -> tuple[Ask, ...]:
    """Return all messages of a case, also those that leave together."""
    found: list[Ask] = []
    for step in case.steps:
        found += step.asks if isinstance(step, Together) else (step,) if isinstance(step, Ask) else ()
    return tuple(found)
