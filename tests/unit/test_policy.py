"""A policy is understood completely or refused completely, and its fingerprint is that of what decides."""

from pathlib import Path

import pytest

from conflict.policy import EMPTY_POLICY, ColumnRule, Deletes, KeyPart, Normaliser, Policy, RuleName, TablePolicy
from conflict.policy_file import parse_policy, policy_schema
from conflict.ranking import Stores
from tillstream.checked_yaml import load
from tillstream.errors import ConfigError, Fault

LATEST = ColumnRule(rule=RuleName.LATEST)

DESIGN = """\
version: 3
tables:
  members:
    scope: shared
    key: {phone: phone_cn}
    changed_at: updated_at
    columns:
      points: {rule: sum}
      address:
        rule: priority
        stores: [hq, s001]
        then: {rule: priority, stores: [s002], then: max}
      nick: {rule: first_non_null}
      "*": {rule: min}
    deletes: all
    contest: {within: 2h, ignore: [updated_at, seen]}
  products:
    scope: shared
    key: {sku: {as: upper, stop: ["0000"]}}
  prices: {scope: shared, key: [sku, region]}
  stock: {scope: isolated}
"""


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def policy_of(text: str, stores: Stores | None = None) -> Policy:
    path = Path("policies.yaml")
    path.write_text(text, encoding="utf-8")
    return parse_policy(load(path), stores)


def faults_of(text: str, stores: Stores | None = None) -> list[Fault]:
    with pytest.raises(ConfigError) as caught:
        policy_of(text, stores)
    return caught.value.faults


def members(columns: str = "{}", *, rest: str = "") -> str:
    return (
        "version: 1\ntables:\n  members:\n    scope: shared\n    key: {phone: phone_cn}\n"
        f"    columns: {columns}\n{rest}"
    )


def test_the_whole_form_is_read() -> None:
    """Each part of the YAML becomes one frozen value."""
    policy = policy_of(DESIGN)
    table = policy.tables["members"]
    assert policy.version == 3
    assert table.key == (KeyPart(column="phone", normaliser=Normaliser.PHONE_CN),)
    assert (table.changed_at, table.deletes) == ("updated_at", Deletes.ALL)
    assert table.contest_within_seconds == 7200.0
    assert table.contest_ignore == frozenset({"updated_at", "seen"})
    assert table.rule_for("points").rule is RuleName.SUM
    assert table.rule_for("nick").stores == ()
    assert table.rule_for("unheard_of").rule is RuleName.MIN
    assert table.rule_for("address") == ColumnRule(
        rule=RuleName.PRIORITY,
        ranks=(("hq",), ("s001",)),
        then=ColumnRule(rule=RuleName.PRIORITY, ranks=(("s002",),), then=ColumnRule(rule=RuleName.MAX)),
    )


def test_a_key_has_three_forms() -> None:
    """A normaliser, a normaliser with a stop list, or columns as they are."""
    tables = policy_of(DESIGN).tables
    upper = KeyPart(column="sku", normaliser=Normaliser.UPPER, stop=frozenset({"0000"}))
    assert tables["products"].key == (upper,)
    assert tables["prices"].key == (
        KeyPart(column="sku", normaliser=Normaliser.EXACT),
        KeyPart(column="region", normaliser=Normaliser.EXACT),
    )


def test_only_shared_tables_are_in_the_policy() -> None:
    """A table that is not in it is isolated, named or not."""
    assert set(policy_of(DESIGN).tables) == {"members", "products", "prices"}


def test_what_is_left_out_has_a_default() -> None:
    """Latest by column, latest for deletes, ten minutes."""
    key = (KeyPart(column="phone", normaliser=Normaliser.PHONE_CN),)
    assert policy_of(members()).tables["members"] == TablePolicy(
        table="members",
        key=key,
        changed_at=None,
        columns={},
        default=LATEST,
        deletes=Deletes.LATEST,
        contest_within_seconds=600.0,
        contest_ignore=frozenset(),
    )


def test_values_can_be_keys_of_a_cache_and_cannot_be_changed() -> None:
    """A policy is shared between threads."""
    table = policy_of(DESIGN).tables["members"]
    assert len({table, policy_of(DESIGN).tables["members"]}) == 1
    with pytest.raises(TypeError):
        table.columns["points"] = LATEST  # type: ignore[index]


@pytest.mark.parametrize(
    ("written", "seconds"), [("30s", 30), ("10m", 600), ("2h", 7200), ("1d", 86400), ("1.5m", 90), ("0s", 0)]
)
def test_a_duration_has_a_unit(written: str, seconds: float) -> None:
    """A bare number would be read as seconds by one and as minutes by another."""
    text = members(rest=f"    contest: {{within: {written}}}\n")
    assert policy_of(text).tables["members"].contest_within_seconds == seconds


def test_an_unknown_rule_is_answered_with_the_likely_word() -> None:
    """The message that design.md promises."""
    (fault,) = faults_of(members("\n      points: {rule: summ}"))
    assert str(fault) == (
        'policies.yaml:7: tables.members.columns.points.rule: "summ" is not a rule; did you mean "sum"?'
    )


def test_one_that_is_like_none_is_answered_with_all() -> None:
    (fault,) = faults_of(members("{points: {rule: coin_toss}}"))
    assert fault.message.endswith(f"is not a rule; allowed: {', '.join(RuleName)}")


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ("{a: {rule: priority}}", "priority needs `stores`"),
        ("{a: {rule: sum, stores: [hq]}}", "sum does not look at `stores`"),
        (
            "{a: {rule: sum, then: latest}}",
            "only priority, owner, majority, equal_or_flag, review, highest and lowest do",
        ),
        ("{a: {rule: priority, stores: [hq, hq]}}", "names a store twice"),
        ("{a: {rule: priority, stores: [hq], then: latets}}", 'did you mean "latest"?'),
        ("{a: {rule: priority, stores: [hq], then: {rule: priority}}}", "priority needs `stores`"),
        ("{a: {rule: priority, by: distance_to_hq, stores: [hq]}}", "both say which store comes first"),
        ("{a: {rule: priority, stores: [hq], order: [gold]}}", "there is no `by`"),
        ("{a: {rule: latest, separator: ','}}", "only union does"),
        ("{a: {rule: latest, order: [hq]}}", "`order` is of the words that `by` names"),
        ("{a: {rule: highest}}", "highest needs `order`: {rule: highest, order: [basic, silver, gold]}"),
        ("{a: {rule: lowest, order: [x, x]}}", "`order` names a value twice"),
        ("{a: {rule: owner}}", "owner needs `column`"),
        ("{a: {rule: constant}}", "constant needs `value`"),
        ("{a: {rule: sum_of_changes, copied_by_pos: false}}", "sum_of_changes needs `opening`"),
        ("{a: {rule: sum_of_changes, opening: 2026-01-01}}", "each change would count once per store; there write"),
        (
            "{a: {rule: sum_of_changes, opening: 2026-01-01, copied_by_pos: true}}",
            "a balance that the POS copies is the same one in every store",
        ),
        ("{a: {rule: sum_of_changes, opening: soon, copied_by_pos: false}}", "must be a time, such as 2026-01-01"),
        ("{a: {rule: sum_of_changes, opening: 1969-01-01, copied_by_pos: false}}", "must be after 1970"),
        (
            "{a: {rule: sum_of_changes, opening: 2026-01-01, copied_by_pos: false, when: a > 1, "
            "then: {rule: sum_of_changes, opening: 2026-02-01, copied_by_pos: false}}}",
            "a column has one opening, and here are 2",
        ),
        ("{a: {rule: sum, opening: 2026-01-01}}", "sum does not look at `opening`; only sum_of_changes does"),
        ("{a: {rule: constant, value: 2026-01-01}}", "put anything else in quotes"),
        ("{a: {rule: priority, stores: [hq], then: per_store}}", "makes no value of its own"),
        ("{a: {rule: owner, column: phone}}", "phone is part of the key and decided by no rule"),
        ("{a: {rule: owner, column: a}}", "which is decided by a itself"),
        (
            "{a: {rule: owner, column: b}, b: {rule: priority, stores: [hq], then: {rule: owner, column: a}}}",
            "who owns it is decided by b, which is decided by a itself",
        ),
        ('{"*": {rule: owner, column: home}}', "home is one of the rest and would name its own owner"),
        ("{a: latest}", "must be a mapping"),
        ("{a: {}}", '"rule" is required here'),
        ("{phone: {rule: latest}}", "is part of the key"),
    ],
)
def test_a_rule_that_means_nothing_is_refused(columns: str, words: str) -> None:
    """Rather than quietly ignored."""
    told = [fault for fault in faults_of(members(columns)) if words in fault.message]
    assert [fault.line for fault in told] == [6]


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ("    deletes: some\n", "allowed: latest, any, all, never"),
        ("    deletes: lates\n", 'did you mean "latest"?'),
        ("    contest: {within: 600}\n", "such as 30s, 10m, 2h or 1d"),
        ("    guards: {deletes: 0.2}\n", "must be a share of the store's rows, such as 20%"),
        ("    guards: {rewrites: 120%}\n", "must be a share of the store's rows, such as 20%"),
        ("    guards: {within: 5m}\n", "guards nothing; name `deletes`, `rewrites`, `dark` or another"),
        ("    guards: {ledger: {points: {table: log, row: id}}}\n", "change"),
        ("    contest: {within: 10 min}\n", "such as 30s, 10m, 2h or 1d"),
        ("    map: sku_map.csv\n", "must be a mapping"),
    ],
)
def test_a_fault_stands_in_its_line(rest: str, words: str) -> None:
    """Beside the rules, too."""
    (fault,) = faults_of(members(rest=rest))
    assert fault.line == 7
    assert words in fault.message


@pytest.mark.parametrize(
    ("table", "path", "words"),
    [
        ("{scope: shared}", "t.key", "needs its business key"),
        ("{scope: shared, key: {}}", "t.key", "must not be empty"),
        ("{scope: shared, key: []}", "t.key", "must not be empty"),
        ("{scope: shared, key: [a, a]}", "t.key", "different columns"),
        ("{scope: shared, key: sku}", "t.key", "must be a mapping"),
        (
            "{scope: shared, key: {a: phone}}",
            "t.key.a",
            '"phone" is not a normaliser; did you mean "phone_cn"?',
        ),
        ("{scope: shared, key: {a: {as: uper}}}", "t.key.a.as", 'did you mean "upper"?'),
        ("{scope: shared, key: {a: phone:my}}", "t.key.a", '"my" is not a region; did you mean "phone:MY"?'),
        ("{scope: shared, key: {a: phone:UK}}", "t.key.a", 'did you mean "phone:GB"?'),
        ("{scope: shared, key: {a: phone:CN}}", "t.key.a", 'did you mean "phone_cn"?'),
        ("{scope: shared, key: {a: phone:Malaysia}}", "t.key.a", "write its two letters, such as phone:MY"),
        (
            "{scope: shared, key: {a: soundex}}",
            "t.key.a",
            "allowed: exact, trim, upper, lower, digits, email, phone_cn, phone:",
        ),
        ("{scope: shared, key: {a: {as: upper, stop: [0000]}}}", "t.key.a.stop[0]", "put it in quotes"),
        ("{scope: share}", "t.scope", 'did you mean "shared"?'),
        ("{key: [a]}", "t.key", "means nothing in an isolated table"),
        ("{scope: isolated, deletes: all}", "t.deletes", "means nothing in an isolated table"),
        ("{references: {id: t}}", "t.references.id", "only rows of shared tables have a central key"),
        ("{scope: shared, key: [a], references: {id: t}}", "t.references", "means nothing in a shared table"),
    ],
)
def test_scope_and_key_fit_together(table: str, path: str, words: str) -> None:
    """A shared table has a key, an isolated one has no rules."""
    (fault,) = faults_of(f"version: 1\ntables:\n  t: {table}\n")
    assert (fault.line, fault.path) == (3, f"tables.{path}")
    assert words in fault.message


@pytest.mark.parametrize(("written", "value"), [("1.10", "1.10"), ("7", "7"), ("true", "true"), ("'08'", "08")])
def test_a_constant_is_what_is_written(written: str, value: str) -> None:
    """To the last zero: YAML itself would make 1.1 of 1.10."""
    table = policy_of(members(f"{{a: {{rule: constant, value: {written}}}}}")).tables["members"]
    assert table.rule_for("a").value == value


def test_the_region_of_a_number_is_part_of_what_decides() -> None:
    """And a policy without one is what it was before there were regions."""
    text = members().replace("phone_cn", "phone:MY")
    assert policy_of(text).tables["members"].key == (KeyPart(column="phone", normaliser=Normaliser.PHONE, region="MY"),)
    assert policy_of(text).tables["members"].key[0].written == "phone:MY"
    assert policy_of(text).fingerprint != policy_of(text.replace(":MY", ":SG")).fingerprint
    assert policy_of(members()).fingerprint == "902fa96a9d4a2a4f1ed3440a924e922677a473cabd712f2dfb674ad9cfaeec94"


def test_references_name_shared_tables() -> None:
    """With the likely one, where a name is nearly right; and the views' own names are not taken by a table."""
    sales = f"{members()}  sales: {{references: {{member_id: members}}}}\n"
    assert policy_of(sales).references == {"sales": {"member_id": "members"}}
    (fault,) = faults_of(sales.replace(": members}", ": member}"))
    assert (fault.line, fault.path) == (7, "tables.sales.references.member_id")
    assert fault.message == '"member" is not a shared table; did you mean "members"?'
    (fault,) = faults_of(f"{members()}  members_ids: {{scope: shared, key: [id]}}\n")
    assert fault.message == "cannot be shared: central.members_ids is where the stores' ids of members stand"


def test_all_faults_come_at_once() -> None:
    """From every layer of the reading: YAML, form, meaning, and between the parts."""
    text = (
        "version: 0\n"
        "tables:\n"
        "  a: {scope: shared, key: [x], columns: {x: {rule: sum}, y: {rule: smu}}}\n"
        "  b: {scope: shared, key: [x], columns: {y: {rule: priority}}}\n"
        "  b: {scope: shared}\n"
        "  c: {columns: {}}\n"
    )
    assert [(fault.line, fault.path) for fault in faults_of(text)] == [
        (1, "version"),
        (3, "tables.a.columns.x"),
        (3, "tables.a.columns.y.rule"),
        (4, "tables.b.columns.y"),
        (5, "tables.b"),
        (6, "tables.c.columns"),
    ]


def test_a_store_that_does_not_exist_is_refused() -> None:
    """A priority list with a typing error would silently never apply."""
    text = members("\n      a: {rule: priority, stores: [hq, s01], then: {rule: first_non_null, stores: [x]}}")
    first, second = faults_of(text, {"hq": {}, "s001": {}})
    assert str(first).endswith('.a.stores[1]: "s01" is not a store; did you mean "s001"?')
    assert str(second).endswith('.a.then.stores[0]: "x" is not a store of tillstream.yaml')
    assert policy_of(text, {key: {} for key in ["hq", "s01", "x"]})
    assert policy_of(text), "without known stores nothing is checked"


CHAIN: Stores = {
    "hq": {"location": [31.2304, 121.4737], "rank": 1, "tier": "flagship", "code": "HQ"},
    "s001": {"location": [31.2310, 121.4740], "rank": 2, "tier": "street", "code": "A1"},
    "s002": {"location": [39.9042, 116.4074], "rank": 2, "tier": "flagship", "code": "A2"},
    "s003": {"tier": "kiosk"},
}


@pytest.mark.parametrize(
    ("ranking", "ranks"),
    [
        ("by: rank", (("hq",), ("s001", "s002"))),
        ("by: tier, order: [flagship, street]", (("hq", "s002"), ("s001",))),
        ("by: distance_to_hq", (("hq",), ("s001",), ("s002",))),
        ("by: distance_to_s002", (("s002",), ("s001",), ("hq",))),
    ],
)
def test_stores_are_ranked_by_what_is_said_of_them(ranking: str, ranks: tuple[tuple[str, ...], ...]) -> None:
    """The least number, the word that the order has first, the nearest; who has none of it is not ranked."""
    policy = policy_of(members(f"{{a: {{rule: priority, {ranking}}}}}"), CHAIN)
    assert policy.tables["members"].rule_for("a").ranks == ranks


def test_an_owner_may_be_named_by_an_attribute() -> None:
    """The POS knows its stores by codes of its own."""
    policy = policy_of(members("{a: {rule: owner, column: home, by: code}}"), CHAIN)
    assert policy.tables["members"].rule_for("a").owners == (("A1", "s001"), ("A2", "s002"), ("HQ", "hq"))


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("priority, by: tiers", 'no store has the attribute "tiers"; did you mean "tier"?'),
        ("priority, by: tier", "say with `order`, best first, which come before which"),
        ("priority, by: distance_to_s003", "store s003 has no `location: [latitude, longitude]`"),
        ("priority, by: distance_to_s01", '"s01" is not a store; did you mean "s001"?'),
        ("owner, column: home, by: tier", "stores hq and s002 both have the tier flagship"),
    ],
)
def test_an_attribute_that_ranks_nothing_is_refused(rule: str, words: str) -> None:
    """With what is missing in tillstream.yaml."""
    (fault,) = faults_of(members(f"{{a: {{rule: {rule}}}}}"), CHAIN)
    assert words in fault.message
    assert fault.line == 6


class TestFingerprint:
    def test_it_does_not_depend_on_the_layout(self) -> None:
        """Nor on comments, spelled-out defaults, the version number or isolated tables."""
        same = """\
            # rewritten
            version: 4
            tables:
              prices:
                key: {sku: exact, region: {as: exact}}
                scope: "shared"
              products:
                scope: shared
                key: {sku: {stop: ['0000'], as: upper}}
                columns: {"*": {rule: latest}, name: {rule: latest}}
                deletes: latest
                contest: {within: 600s}
              members:
                scope: shared
                key: {phone: {as: phone_cn}}
                columns:
                  "*": {rule: min}
                  nick: {rule: first_non_null, stores: []}
                  address:
                    then: {rule: priority, stores: [s002], then: {rule: max}}
                    stores: [hq, s001]
                    rule: priority
                  points: {rule: sum}
                contest: {ignore: [seen, updated_at], within: 120m}
                changed_at: updated_at
                deletes: all
        """
        assert policy_of(same).fingerprint == policy_of(DESIGN).fingerprint

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("points: {rule: sum}", "points: {rule: max}"),
            ("[hq, s001]", "[s001, hq]"),
            ("then: max", "then: latest"),
            ('"*": {rule: min}', '"*": {rule: max}'),
            ("deletes: all", "deletes: never"),
            ("within: 2h", "within: 3h"),
            ("[updated_at, seen]", "[updated_at]"),
            ("changed_at: updated_at", "changed_at: modified"),
            ("phone_cn", "digits"),
            ('["0000"]', '["000"]'),
            ("[sku, region]", "[region, sku]"),
            ("prices:", "price_list:"),
            ("stock: {scope: isolated}", "stock: {references: {sku: products}}"),
        ],
    )
    def test_it_changes_with_whatever_decides(self, old: str, new: str) -> None:
        """The order of stores and of key columns is a decision too."""
        assert old in DESIGN
        assert policy_of(DESIGN.replace(old, new)).fingerprint != policy_of(DESIGN).fingerprint

    def test_it_is_the_same_in_every_process_and_release(self) -> None:
        """It is stored beside the values that it decided."""
        assert policy_of("version: 1\ntables: {}\n").fingerprint == EMPTY_POLICY.fingerprint
        assert EMPTY_POLICY.fingerprint == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        assert (EMPTY_POLICY.version, dict(EMPTY_POLICY.tables)) == (0, {})


def test_the_schema_is_draft_07_and_describes_every_field() -> None:
    """Short forms included, so that an editor does not mark them."""
    schema = policy_schema()
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert schema["title"] == "policies.yaml"
    for definition in (schema, *schema["definitions"].values()):
        for name, described in definition.get("properties", {}).items():
            assert described.get("description"), name
