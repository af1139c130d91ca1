"""What a worker tells Prometheus before anything has happened."""

from types import MappingProxyType
from typing import cast

from conflict.policy import ColumnRule, Policy, RuleName, TablePolicy
from sinks.policy_versions import PolicyChangedError
from sinks.row_codec import Shapes
from sinks.warehouse import Warehouse
from sinks.worker import Lanes, Worker
from tillstream import metrics


def shapes(table: str, *rules: RuleName) -> Shapes:
    columns = {f"c{number}": ColumnRule(rule=rule) for number, rule in enumerate(rules)}
    policy = TablePolicy(table=table, key=(), columns=MappingProxyType(columns))
    return Shapes(policy=Policy(version=1, tables=MappingProxyType({table: policy}), fingerprint=""))


def test_conflicts_that_there_may_be_are_told_as_none() -> None:
    """Of each rule of each shared table: Prometheus takes a counter's first number for what it always was, so the first
    jump would be missed. Values that each store has for itself are never contested."""
    Worker(
        cast(Warehouse, None), cast(Lanes, None), shapes("told_first", RuleName.SUM, RuleName.PER_STORE, RuleName.SUM)
    )
    assert _conflicts("told_first") == {"latest": 0, "sum": 0}


def test_so_are_those_of_a_policy_that_is_switched_to() -> None:
    """From the moment on at which the worker takes it up."""
    warehouse, lanes = cast(Warehouse, None), cast(Lanes, None)
    worker = Worker(warehouse, lanes, shapes("told_before"), in_force=lambda: shapes("told_after", RuleName.MAX))
    worker._take_up_policy([], PolicyChangedError("another policy is in force"))
    assert _conflicts("told_after") == {"latest": 0, "max": 0}


def _conflicts(table: str) -> dict[str, float]:
    (family,) = metrics.CONFLICTS.collect()
    return {
        sample.labels["rule"]: sample.value
        for sample in family.samples
        if sample.labels["table"] == table and sample.name == "tillstream_conflicts_total"
    }
