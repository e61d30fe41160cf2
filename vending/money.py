"""Money and units as unit-named integers. There is no float anywhere near them.

The types cost nothing at run time (``NewType``) and are checked by mypy, so a rate cannot be handed over where centavos belong.
"""

from typing import NewType

Centavos = NewType("Centavos", int)
"""Colombian pesos times 100, the smallest money in the books."""

Tenths = NewType("Tenths", int)
"""Tenths of a kWh or of a cubic metre, the resolution of a credit token."""

RateE4 = NewType("RateE4", int)
"""Ten-thousandths of a peso per whole unit; one tenth of a unit at this rate costs exactly as many millicentavos."""

BasisPoints = NewType("BasisPoints", int)
"""Hundredths of a percent: 1000 is 10 %."""
