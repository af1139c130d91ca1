"""`when:`: which rows a rule looks at, and that nothing about it is told in silence."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from conflict.condition import condition_of
from conflict.expression import ExpressionError, KindError, parsed
from conflict.policy import ColumnRule, KeyPart, Normaliser, Policy, RuleName, TablePolicy
from conflict.policy_file import parse_policy
from conflict.ranking import Stores
from conflict.resolution import ColumnStamp, Contribution
from conflict.resolve import resolve
from conflict.shortcut import may_shorten
from sinks.names import in_warehouse_names
from tillstream.checked_yaml import parse
from tillstream.errors import ConfigError, Fault, UndecidableError

TIERS: Stores = {"s1": {"tier": "flagship", "size": 2.5}, "s2": {"tier": "street"}, "s3": {}}
LEVEL = "store.tier == 'flagship' and level in ['gold', 'silver']"


def holds(text: str, **names: Any) -> bool:
    return parsed(text).holds({name.replace("__", "."): value for name, value in names.items()})


def row(store: str, *, at: int = 0, pk: str = "1", deleted: bool = False, **values: Any) -> Contribution:
    position = (1, 1, at, 0, 0)
    return Contribution(
        store=store, pk=pk, position=position, changed_us=at, deleted=deleted, columns=frozenset(values), values=values,
        stamps={column: ColumnStamp(position, at * 60_000_000) for column in values},
    )  # fmt: skip


def table(rule: RuleName, when: str, *, then: ColumnRule | None = None, **settings: Any) -> TablePolicy:
    said = ColumnRule(rule=rule, when=condition_of(when, TIERS), then=then, **settings)
    key = (KeyPart(column="phone", normaliser=Normaliser.EXACT),)
    return TablePolicy(table="members", key=key, columns={"level": said})


def level_of(policy: TablePolicy, *rows: Contribution) -> tuple[Any, str | None]:
    decided = resolve(policy, ["level"], rows)
    return decided.values["level"], decided.winners.get("level")


def policy_of(when: str, *, rest: str = "", stores: Stores | None = TIERS) -> Policy:
    text = (
        "version: 1\ntables:\n  members:\n    scope: shared\n    key: {phone: phone_cn}\n    columns:\n"
        f'      level:\n        rule: max\n        when: "{when}"\n{rest}'
    )
    return parse_policy(parse(text, "policies.yaml"), stores)


def faults_of(when: str, *, rest: str = "") -> list[Fault]:
    with pytest.raises(ConfigError) as caught:
        policy_of(when, rest=rest)
    return caught.value.faults


# --- the language -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value", "is_true"),
    [
        ("x > 0.1", Decimal("0.10000000000000000000000000001"), True),
        ("x == 0.30", Decimal("0.1") + Decimal("0.2"), True),
        ("x * 3 == 37037037036703703703670370371", Decimal("12345679012234567901223456790"), False),
        ("x * 3 == 37037037036703703703670370370", Decimal("12345679012234567901223456790"), True),
        ("x == 0.1", 0.1, True),
        ("1 < x <= 3", 3, True),
        ("x in [1, 2]", Decimal("2.00"), True),
        ("x not in [1, 2]", 2, False),
        ("not x", False, True),
        ("x", True, True),
        ("x >= '2026-01-01'", date(2026, 1, 1), True),
        ("x < '2026-01-01 08:00:01'", datetime(2026, 1, 1, 8, tzinfo=UTC), True),
        ("contains(lower(x), 'gold')", "VIP-GOLD", True),
        ("length(x) == 2", "王维", True),
        ("x == 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), True),
    ],
)
def test_values_are_compared_as_they_are(text: str, value: Any, is_true: bool) -> None:
    """Numbers to their last digit, a double by its shortest decimal, a time with a text that reads as one."""
    assert holds(text, x=value) is is_true


@pytest.mark.parametrize(
    ("text", "is_true"),
    [
        ("x == 1", False),
        ("x != 1", False),
        ("not x == 1", False),
        ("x in [1]", False),
        ("x not in [1]", False),
        ("x + 1 > 0", False),
        ("lower(x) == ''", False),
        ("x is null", True),
        ("x is not null", False),
        ("x == 1 or true", True),
        ("true or x == 1", True),
        ("not (x == 1 and false)", True),
        ("not (false and x == 1)", True),
    ],
)
def test_null_is_unknown_as_in_sql(text: str, is_true: bool) -> None:
    """What is compared with it is neither true nor false, so the row does not count."""
    assert holds(text, x=None) is is_true


@pytest.mark.parametrize(
    ("text", "value", "why"),
    [
        ("x > 1", "2", "a text cannot be compared with a number"),
        ("x == 1", "1", "a text cannot be compared with a number"),
        ("x == 'x' or true", 1, "a number cannot be compared with a text"),
        ("x == 1", True, "true or false cannot be compared with a number"),
        ("x > 'tomorrow'", date(2026, 1, 1), "a date cannot be compared with a text"),
        ("x + 1 > 1", "a", "a text is no number to calculate with"),
        ("x and true", 1, "a number is neither true nor false"),
        ("x", "yes", "it comes to a text, which is neither true nor false"),
        ("lower(x) == 'a'", 1, "a number is no text"),
    ],
)
def test_kinds_that_do_not_go_together_are_an_error_and_not_false(text: str, value: Any, why: str) -> None:
    """Whatever else the expression has; the value itself is not told."""
    with pytest.raises(KindError) as caught:
        holds(text, x=value)
    assert str(caught.value) == why


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("level =", "cannot be read at character 7"),
        ("level == null", "is never true; write `is null`"),
        ("level in [null]", "is never true; write `is null`"),
        ("level in other", "`in` takes a list"),
        ("level is 3", "only `is null` and `is not null`"),
        ("lenght(level) > 1", '"lenght" is not a function; did you mean "length"?'),
        ("lower()", "lower() takes 1 value: lower(name)"),
        ("level.__class__", "`level.__class__` means nothing here"),
        ("store.tier.__class__ == 1", "`store.tier.__class__` means nothing here"),
        ("store", "`store` means nothing here"),
        ("__import__('os').system('x')", "\"__import__('os').system\" is not a function"),
        ("[x for x in level]", "means nothing here"),
        ("(lambda: 1)()", '"lambda: 1" is not a function'),
        ("f'{level}' == 'x'", "means nothing here"),
        ("level ** 9 > 1", "means nothing here"),
        ("level / 3 > 1", "means nothing here"),
        ("b'x' == level", "means nothing here"),
        ("now() > level", '"now" is not a function'),
        ("not " * 60 + "level", "is nested too deeply"),
        ("level == '" + "x" * 2_000 + "'", "is longer than 2000 characters"),
    ],
)
def test_what_the_language_has_not_is_refused(text: str, why: str) -> None:
    """No way into Python, no clock, nothing that rounds; with what would be right."""
    with pytest.raises(ExpressionError) as caught:
        parsed(text)
    assert why in str(caught.value)


def test_a_long_list_is_not_a_deep_one() -> None:
    """It is asked through in halves."""
    assert holds(f"x in [{', '.join(str(n) for n in range(400))}]", x=399)


# --- rules with it ----------------------------------------------------------------------------------------


def test_a_rule_looks_only_at_rows_of_which_it_is_true() -> None:
    """The column of the rule, others of the row, and what tillstream.yaml says of its store."""
    policy = table(RuleName.MAX, LEVEL)
    assert level_of(policy, row("s1", level="gold"), row("s2", level="silver")) == ("gold", "s1")
    assert level_of(policy, row("s1", level="gold"), row("s3", level="silver")) == ("gold", "s1")


def test_of_no_row_it_is_true_so_then_decides_among_all() -> None:
    """`latest`, or the rule that is given; and it says so."""
    rows = row("s1", at=1, level="wood"), row("s2", at=2, level="gold")
    assert level_of(table(RuleName.MIN, LEVEL), *rows) == ("gold", "s2")
    assert level_of(table(RuleName.MIN, LEVEL, then=ColumnRule(rule=RuleName.MAX)), *rows) == ("wood", "s1")
    then = ColumnRule(rule=RuleName.SUM, when=condition_of("level > 1", None))
    numbers = row("s1", level=Decimal(1)), row("s2", level=Decimal(2)), row("s3", level=Decimal(3))
    assert level_of(table(RuleName.MAX, "store.id == 's9'", then=then), *numbers) == (Decimal(5), None)


def test_a_column_that_the_store_lacks_is_unknown() -> None:
    """Absent is not NULL, but it cannot be true of it either; and it is found missing by `is null`."""
    rows = row("s1", level="a", city="x"), row("s2", level="b")
    assert level_of(table(RuleName.MAX, "city != 'y'"), *rows) == ("a", "s1")
    assert level_of(table(RuleName.MIN, "city is null"), *rows) == ("b", "s2")


def test_a_row_that_a_later_one_stands_for_does_not_come_back() -> None:
    """It is the store's last row under the key that the condition is asked of; of a sum, each."""
    rows = (
        row("s1", at=1, level=Decimal(9)),
        row("s1", at=2, pk="2", level=Decimal(1)),
        row("s2", at=3, level=Decimal(2)),
    )
    assert level_of(table(RuleName.MAX, "level > 1"), *rows) == (Decimal(2), "s2")
    assert level_of(table(RuleName.SUM, "level > 1"), *rows)[0] == Decimal(11)


def test_what_is_not_looked_at_is_no_disagreement() -> None:
    """Rules that ask for agreement ask it of the rows that they look at."""
    policy = table(RuleName.EQUAL_OR_FLAG, "store.tier is not null")
    assert not resolve(policy, ["level"], [row("s1", level="a"), row("s3", level="b")]).contests
    assert resolve(policy, ["level"], [row("s1", level="a"), row("s2", level="b")]).contests


def test_what_cannot_be_told_of_one_row_decides_nothing() -> None:
    """It names the store and the expression, and never counts as false."""
    with pytest.raises(UndecidableError) as caught:
        level_of(table(RuleName.MAX, "level > 1"), row("s1", level=Decimal(3)), row("s2", level="gold"))
    assert caught.value.column == "level"
    assert caught.value.reason == ("when: level > 1: in the row of store s2 a text cannot be compared with a number")


def test_such_columns_are_decided_from_all_rows() -> None:
    """Also where only `then` has a condition."""
    inner = ColumnRule(rule=RuleName.LATEST, when=condition_of("level > 1", None))
    assert not may_shorten(table(RuleName.MAX, "level > 1"), ["level"])
    plain = TablePolicy(table="m", key=(), columns={"level": ColumnRule(rule=RuleName.PRIORITY, then=inner)})
    assert not may_shorten(plain, ["level"])


def test_names_are_those_of_the_policys_author() -> None:
    """Also where the warehouse has a shorter one."""
    long = "x" * 70
    policy = in_warehouse_names(policy_of(f"{long} == 1 and row['{long}'] == 1")).tables["members"]
    assert list(policy.columns_of_conditions()) == [long]
    name = policy.columns_of_conditions()[long]
    assert len(name) == 63
    rows = row("s1", level="a", **{name: 1}), row("s2", level="b", **{name: 2})
    assert level_of(policy, *rows) == ("a", "s1")


# --- in the file ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "why"),
    [
        ("store.teir == 'x'", 'no store has the attribute "teir"; did you mean "tier"?'),
        ("levle == 'gold'", '"levle" is a column that nothing else here names; did you mean "level"?'),
        ("level == 'gold' an level", "cannot be read at character 17"),
        ("lenght(level) == 1", 'did you mean "length"?'),
    ],
)
def test_a_slip_is_found_with_its_line(when: str, why: str) -> None:
    """Syntax, functions, attributes, and a column that is nearly one that the file names."""
    (fault,) = faults_of(when)
    assert (fault.line, fault.path) == (9, "tables.members.columns.level.when")
    assert why in fault.message


def test_a_slip_in_what_decides_instead_is_found_too() -> None:
    """Each beside the others."""
    rest = "        then: {rule: sum, when: 'store.teir == 1', then: {rule: min, when: 'levle > 1'}}\n"
    paths = {fault.path for fault in faults_of("level ==", rest=rest)}
    assert paths == {f"tables.members.columns.level.{part}" for part in ("when", "then.when", "then.then.when")}


def test_a_column_that_is_named_anywhere_is_no_slip() -> None:
    """By a rule, by a test, or as it is unlike all others."""
    assert policy_of("levels > 1 and city == 'x'", rest="      levels: {rule: latest}\n")
    assert policy_of("levels > 1", rest=(
        "tests:\n  - {name: x, given: {members: [{store: s1, levels: 1}]}, expect: {members: []}}\n"
    ))  # fmt: skip


def test_per_store_has_nothing_to_look_at() -> None:
    """No rule, no rows."""
    text = "version: 1\ntables: {m: {scope: shared, key: [k], columns: {a: {rule: per_store, when: 'a > 1'}}}}"
    with pytest.raises(ConfigError) as caught:
        parse_policy(parse(text, "x"), None)
    assert "per_store decides nothing" in str(caught.value)


def test_the_fingerprint_is_of_the_expression_and_of_what_is_said_of_stores() -> None:
    """Of the attributes that it names and no others; a number is the same however it was kept."""
    plain = policy_of("store.size > 1").fingerprint
    assert policy_of("store.size > 2").fingerprint != plain
    assert policy_of("store.size > 1", stores={**TIERS, "s2": {"size": 3}}).fingerprint != plain
    assert policy_of("store.size > 1", stores={**TIERS, "s1": {"size": 2.5, "tier": "street"}}).fingerprint == plain
    without = replace(policy_of("level > 1").tables["members"].columns["level"], when=None)
    assert policy_of("level > 1").tables["members"].columns["level"] != without
