"""docs/limits.md: every limit of a section is there, with the default that the code has."""

import re
from pathlib import Path

import pytest

from config.acquirer import AcquirerSection
from config.acquirer_notices import NoticesSection
from config.section import Section
from config.security_module import SecurityModuleSection
from config.switch import SwitchSection

PAGE = Path(__file__).parents[2] / "docs" / "limits.md"
NOT_LIMITS = {
    "resolver_interval_seconds",
    "resolver_age_seconds",
    "close_days_interval_seconds",
    "notices_interval_seconds",
}
"""How often something is done, which nobody outside can make grow; and caps on money are rules of business, not limits."""


def _documented(heading: str) -> dict[str, str]:
    (part,) = (part for part in PAGE.read_text(encoding="utf-8").split("\n## ") if heading in part.partition("\n")[0])
    return dict(re.findall(r"^\| `(\w+)` \| ([\d.]+|None) \|", part, re.MULTILINE))


def _defaults(section: type[Section]) -> dict[str, str]:
    return {
        name: str(field.default)
        for name, field in section.model_fields.items()
        if name.endswith(("_max", "_seconds")) and "_centavos_" not in name and name not in NOT_LIMITS
    }


@pytest.mark.parametrize(
    ("heading", "section"),
    [("acquirers.<id>]", AcquirerSection), ("acquirers.<id>.notices]", NoticesSection), ("[switch]", SwitchSection)],
)
def test_the_page_has_every_limit_with_its_default(heading: str, section: type[Section]) -> None:
    """Nothing missing, nothing invented, nothing old."""
    assert _documented(heading) == _defaults(section)


def test_the_limits_of_the_module_link_are_those_of_the_code() -> None:
    """The rest of that section is about finding the module, not about being filled up."""
    documented = _documented("[security_module]")
    assert documented.items() <= _defaults(SecurityModuleSection).items()
    assert documented
