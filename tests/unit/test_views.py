"""What stands in the views beside the stores' rows, and which tables can be referred to."""

from types import MappingProxyType

import pytest
from fake_store import column

from conflict.policy import EMPTY_POLICY, Policy, policy_of
from sinks.names import in_warehouse_names
from sinks.row_codec import Shapes
from sinks.statements import views
from tillstream.envelope import ORIGIN, TableVersion
from tillstream.errors import RefusedError

NASTY = "会员 %\"'"


def policy(table: str = "members") -> Policy:
    return policy_of(1, {}, MappingProxyType({"sales": MappingProxyType({"member_id": table})}))


def version(*key: str) -> TableVersion:
    columns = tuple(column(name, "INT", optional=False) for name in ("till", "id"))
    return TableVersion(store="s1", database="pos", table="members", since=ORIGIN, columns=columns, primary_key=key)


def test_one_column_cannot_refer_to_a_key_of_two() -> None:
    """Refused as the store's table is taken up, with what refers to it."""
    assert Shapes(policy()).of(version("id"))
    assert Shapes(EMPTY_POLICY).of(version("till", "id"))
    with pytest.raises(
        RefusedError, match=r"store s1: the primary key of members is till, id, to which sales.member_id"
    ):
        Shapes(policy()).of(version("till", "id"))


def test_the_text_of_a_view_of_a_nasty_table() -> None:
    """Every name quoted; a column that no store has, or that refers to a table that is not there yet, is NULL."""
    references = {NASTY: "members", "gone": "members", "early": "absent"}
    assert (
        views.resolved(NASTY, [NASTY, "early"], references, ["members"])
        == """\
CREATE OR REPLACE VIEW chain."会员 %""'" AS
SELECT t._store, t._pk, t._event_at, "r0"._key AS "_会员 %""'_key", NULL::text COLLATE "C" AS "_gone_key", \
NULL::text COLLATE "C" AS "_early_key", t."会员 %""'", t."early" FROM stores."会员 %""'" t
LEFT JOIN central."members_ids" "r0" ON "r0"._store = t._store AND "r0"._pk = t."会员 %""'"::text
WHERE NOT t._deleted"""
    )


def test_references_speak_in_the_warehouses_names() -> None:
    long = "m" * 70
    (references,) = in_warehouse_names(policy(long)).references.values()
    assert len(references["member_id"]) == 63
