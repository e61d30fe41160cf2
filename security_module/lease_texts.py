"""Vendor terminals and tills as they stand in the summary and the printed record of a ceremony."""

from security_module.registers import ModuleKeys
from security_module.vendors import SupplyGroup


def groups_text(groups: tuple[SupplyGroup, ...]) -> str:
    """Write vending keys as ``201457/1,201457/2``."""
    return ",".join(f"{sgc:06d}/{krn}" for sgc, krn in groups)


def describe_leases(keys: ModuleKeys) -> list[str]:
    """Return two lines for each vendor terminal, and one if this is the module of a till. Nothing in them is secret."""
    lines = []
    for _, each in sorted(keys.vendors.items()):
        limits = each.limits
        lines.append(f"       >> {each.terminal_id}: {each.public_key}")
        lines.append(
            f"          {groups_text(each.supply_groups)}  money {limits.credit_centavos}  units {limits.units_tenths}  "
            f"sales {limits.sales_max}  sale {limits.sale_max_centavos}  meter/day {limits.meter_day_max_centavos}  "
            f"hours {each.lease_hours}  {each.zone or '-'}"
        )
    if keys.till is not None:
        lines.append(f"       << {keys.till.terminal_id}: {keys.till.head_end_key}")
    return lines
