"""The policy that decides: the warehouse's, for policies.yaml may have been changed since, or gone back from."""

from collections.abc import Mapping

from conflict.policy import Policy
from sinks.names import in_warehouse_names
from sinks.policy_versions import policy_in_force, version_in_force
from sinks.row_codec import Shapes
from sinks.warehouse import Warehouse
from tillstream.config import Config


def in_force(warehouse: Warehouse, written: Policy) -> Policy:
    """In the stores' names. RefusedError if none was ever applied and `written`, the file's, has shared tables."""
    with warehouse.transaction() as tx:
        return policy_in_force(tx, written)


def shapes_of(
    config: Config, policy: Policy, policy_id: int | None = None, timezones: Mapping[str, str] | None = None
) -> Shapes:
    """`timezones` in place of the configuration's, where stores may be added while it is used."""
    zones = config.timezones if timezones is None else timezones
    tables = config.tables
    return Shapes(in_warehouse_names(policy), policy_id, zones, tables.exclude_columns, tables.real_charset)


def shapes_in_force(
    warehouse: Warehouse, config: Config, written: Policy, timezones: Mapping[str, str] | None = None
) -> Shapes:
    """What rows are kept by now."""
    with warehouse.transaction() as tx:
        present = version_in_force(tx)
        policy = policy_in_force(tx, written)
    return shapes_of(config, policy, present.id if present else None, timezones)
