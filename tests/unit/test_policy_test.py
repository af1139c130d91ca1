"""`tillstream policy check`, `test` and `schema`: a policy's own tests, and its faults, without any server."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from conflict import rules
from conflict.case_run import differences
from conflict.policy import RuleName
from conflict.policy_file import parse_policy
from tillstream import commands
from tillstream.checked_yaml import parse

README = (Path(__file__).parents[2] / "README.md").read_text()
CONFIG = """\
defaults: {user: tillstream, database: pos, password: {env: POS_PASSWORD}}
policies: policies.yaml
stores:
  - {id: s001, host: 10.0.1.5, attributes: {tier: flagship}}
  - {id: s002, host: 10.0.1.6}
"""
MEMBERS = """\
version: 1
tables:
  members:
    scope: shared
    key: {phone: phone_cn}
    changed_at: updated_at
    columns: {points: {rule: sum}, born: {rule: earliest}, tags: {rule: union}, level: {rule: max},
              drawer: {rule: per_store}, wallet: {rule: sum_of_changes, opening: 2026-01-01, copied_by_pos: false}}
"""
PHONE = 'phone: "13800138000"'


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tillstream.yaml").write_text(CONFIG)


Policy = Callable[..., tuple[int, str, str]]


@pytest.fixture
def policy(capsys: pytest.CaptureFixture[str]) -> Policy:
    """Exit code, stdout and stderr of a verb of `policy`, of policies.yaml as given."""

    def go(text: str, *arguments: str) -> tuple[int, str, str]:
        Path("policies.yaml").write_text(text, encoding="utf-8")
        with pytest.raises(SystemExit) as left:
            commands.main(["policy", *arguments])
        said = capsys.readouterr()
        return int(left.value.code or 0), said.out, said.err

    return go


def case(given_: str, expect: str) -> str:
    return (
        f"{MEMBERS}tests:\n  - name: a case\n    given: {{members: [{given_}]}}\n    expect: {{members: [{expect}]}}\n"
    )


def of_the_readme() -> tuple[str, dict[str, str]]:
    """Its policies with its tests, and the blocks that run them."""
    written = re.search(r"^```yaml\n(# policies.yaml\nversion: 2\n.*?)^```$", README, re.MULTILINE | re.DOTALL)
    blocks = dict(re.findall(r"^```(\w+) policy-tests\n(.*?)^```$", README, re.MULTILINE | re.DOTALL))
    assert written is not None
    return written[1] + blocks["yaml"], blocks


def test_the_readmes_tests_run(policy: Policy) -> None:
    """With the output that it shows."""
    text, blocks = of_the_readme()
    assert blocks["sh"] == "tillstream policy test\n"
    assert policy(text, "test") == (0, blocks["text"], "")


@pytest.mark.parametrize(
    ("given_", "expect"),
    [
        # a number is compared by its value, and added up exactly
        (f"{{store: s001, {PHONE}, points: 0.10}}, {{store: s002, {PHONE}, points: 0.2}}",
         f"{{{PHONE}, points: '0.3'}}"),
        # MySQL has DECIMAL(65,30): no digit is lost between the file and the comparison
        (f"{{store: s001, {PHONE}, points: 0.10000000000000000001}}, {{store: s002, {PHONE}, points: 1}}",
         f"{{{PHONE}, points: 1.10000000000000000001}}"),
        # two rows of one store count both, and of other columns the later stands; a row without a key has no say
        (f"{{store: s001, {PHONE}, points: 1, name: x}}, {{store: s001, {PHONE}, points: 2, name: y}}, "
         "{store: s001, phone: '', points: 5}", f"{{{PHONE}, points: 3, name: y}}"),
        # a value that was there when the store was first read loses to one that was seen changing
        (f"{{store: s001, {PHONE}, name: seen}}, {{store: s002, {PHONE}, name: read, _snapshot: true}}",
         f"{{{PHONE}, name: seen, _winners: {{name: s001}}}}"),
        # correcting a value keeps its place
        (f"{{store: s001, {PHONE}, born: 1990-10-01, _at: 2026-05-01, _since: 2026-01-01}}, "
         f"{{store: s002, {PHONE}, born: 1991-01-01, _at: 2026-02-01}}", f"{{{PHONE}, born: 1990-10-01}}"),
        # the POS's own time, for values that were there before
        (f"{{store: s001, {PHONE}, name: x, updated_at: 2026-01-01 09:00:00, _snapshot: true}}, "
         f"{{store: s002, {PHONE}, name: y, updated_at: 2025-12-31, _snapshot: true}}", f"{{{PHONE}, name: x}}"),
        # deleted after its last change, and before that of the other store
        (f"{{store: s001, {PHONE}, name: x, _at: 2026-01-01 08:00, _deleted: 2026-01-01 10:00}}, "
         f"{{store: s002, {PHONE}, name: y, _at: 2026-01-01 11:00}}", f"{{{PHONE}, name: y}}"),
        # only what is written of times counts, not a row's turn beside it
        (f"{{store: s001, {PHONE}, name: x, _at: {{name: 2026-01-01 09:00}}}}, "
         f"{{store: s002, {PHONE}, _deleted: 2026-01-01 10:00}}", ""),
        (f"{{store: s001, {PHONE}, name: x, nick: a, _at: {{name: 2026-01-01 11:00, '*': 2026-01-01 09:00}}}}, "
         f"{{store: s002, {PHONE}, name: y, nick: b, _at: 2026-01-01 10:00}}", f"{{{PHONE}, name: x, nick: b}}"),
        # changed later than it was deleted elsewhere
        (f"{{store: s001, {PHONE}, _deleted: true, _at: 2026-01-01 09:00}}, {{store: s002, {PHONE}, name: x}}",
         f"{{{PHONE}, name: x, _contested: []}}"),
        (f"{{store: s001, {PHONE}, tags: 'b, a'}}, {{store: s002, {PHONE}, tags: c}}", f"{{{PHONE}, tags: 'a,b,c'}}"),
        (f"{{store: s001, {PHONE}, name: x, _at: 2026-01-01}}, {{store: s002, {PHONE}, name: y, _at: 2026-01-01}}",
         f"{{{PHONE}, name: y, _uncertain: [name]}}"),
        # of copies of one balance: the one that was not touched since the opening, and what the others changed
        (f"{{store: s001, {PHONE}, wallet: 100, _at: 2025-12-31}}, "
         f"{{store: s002, {PHONE}, wallet: 70.5, _opening: {{wallet: 100}}, _at: 2026-02-01}}, "
         f"{{store: s001, {PHONE}, wallet: 5, _at: {{wallet: 2026-03-01}}}}",
         f"{{{PHONE}, wallet: 75.5, _contested: []}}"),
        # as many had 100 as 90: the least, and it is told
        (f"{{store: s001, {PHONE}, wallet: 100, _snapshot: true}}, "
         f"{{store: s002, {PHONE}, wallet: 80, _opening: {{wallet: 90}}}}",
         f"{{{PHONE}, wallet: 80, _contested: [wallet]}}"),
        # a row that one store has deleted is no part of it
        (f"{{store: s001, {PHONE}, wallet: 90, _at: 2025-12-30, _deleted: 2025-12-31}}, "
         f"{{store: s002, {PHONE}, wallet: 80, _opening: {{wallet: 90}}}}", f"{{{PHONE}, wallet: 80, _contested: []}}"),
        # nowhere before the opening, and a NULL is nothing
        (f"{{store: s001, {PHONE}, wallet: 20}}, {{store: s002, {PHONE}, wallet: null, _opening: {{wallet: 3}}}}",
         f"{{{PHONE}, wallet: 20, _contested: []}}"),
    ],
)  # fmt: skip
def test_a_case_that_is_as_expected_passes(policy: Policy, given_: str, expect: str) -> None:
    code, out, err = policy(case(given_, expect), "test")
    assert (code, out, err) == (0, "ok    a case\n1 test, none failed\n", "")


@pytest.mark.parametrize(
    ("given_", "expect", "told"),
    [
        (f"{{store: s001, {PHONE}, name: x}}, {{store: s002, {PHONE}, name: y}}", f"{{{PHONE}, name: x}}",
         'members +8613800138000 name: expected "x", got "y" of store s002: changed last (latest)'),
        (f"{{store: s001, {PHONE}, points: 3}}", f"{{{PHONE}, points: 4}}", "points: expected 4, got 3: sum"),
        (f"{{store: s001, {PHONE}, name: x}}", "", "expected no row, got a row: store s001 has it"),
        (f"{{store: s001, {PHONE}, _deleted: true}}", f"{{{PHONE}}}", "expected a row, got no row: every store"),
        (f"{{store: s001, {PHONE}, drawer: 7}}", f"{{{PHONE}, drawer: 7}}", "drawer: expected 7, got nothing"),
        (f"{{store: s001, {PHONE}, name: '007'}}", f"{{{PHONE}, name: 7}}", 'name: expected 7, got "007"'),
        (f"{{store: s001, {PHONE}, name: x}}, {{store: s002, {PHONE}, name: y}}", f"{{{PHONE}, _contested: []}}",
         "_contested: expected none, got name"),
        (f"{{store: s001, {PHONE}, name: x}}", f"{{{PHONE}, _winners: {{name: s002}}}}",
         "name: expected the value of store s002, got that of s001"),
        (f"{{store: s001, {PHONE}, level: x}}, {{store: s002, {PHONE}, level: 1}}", f"{{{PHONE}, level: 1}}",
         'level: expected a decision, got none: max can make nothing of "x", 1'),
        (f"{{store: s001, {PHONE}, tags: 5}}", f"{{{PHONE}, tags: 5}}",
         'tags: expected a decision, got none: union, separator: "," can make nothing of 5'),
        (f"{{store: s001, {PHONE}}}, {{store: s001, phone: '13900139000', name: x}}",
         f"{{{PHONE}, name: x}}, {{phone: '13900139000'}}", 'name: expected "x", got nothing: no row under this key'),
        (f"{{store: s001, {PHONE}}}", f"{{{PHONE}}}, {{phone: '+8613800138000'}}", "expected two rows, got one"),
        ("{store: s001, phone: none}", "{phone: none}", 'members "none": expected a row, got none: this is no key'),
    ],
)  # fmt: skip
def test_a_case_that_fails_says_what_came_and_why(policy: Policy, given_: str, expect: str, told: str) -> None:
    code, out, err = policy(case(given_, expect), "test")
    assert (code, err) == (1, "")
    assert out.startswith("FAIL  a case (policies.yaml:10)\n")
    assert told in out
    assert out.endswith("1 test, 1 failed\n")
    code, out, _ = policy(case(given_, expect), "test", "--output", "json")
    (found,) = json.loads(out)["tests"]
    assert (code, found["ok"], found["line"], len(found["differences"])) == (1, False, 10, 1)


def test_a_rule_that_depends_on_the_order_is_found_out(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is read last wins: right in the order in which the case lists them, and caught all the same."""

    def last_read(rule: object, asked: rules.Asked) -> rules.Decided:
        return rules.Decided(asked.value(asked.having[-1]), asked.having[-1], "read last")

    monkeypatch.setattr(rules, "_RULES", MappingProxyType({**rules._RULES, RuleName.LATEST: last_read}))
    text = case(f"{{store: s001, {PHONE}, name: x}}, {{store: s002, {PHONE}, name: y}}", f"{{{PHONE}, name: y}}")
    code, out, _ = policy(text, "test")
    assert code == 1
    assert "expected one decision, got another one in another order" in out


FAULTS = """\
version: 0
tables:
  members:
    scope: shared
    key: {phone: phone_ch}
    columns:
      name: {rule: priority, stores: [s01]}
      level: {rule: higest, order: [a]}
      born: {rule: owner, column: born}
      nick: {rule: priority, by: teir}
      rate: {rule: constant, value: [1.5]}
      phone: {rule: latest}
    deletes: sometimes
    contest: {within: 10}
  goods: {scope: shared}
  sales: {deletes: all}
tests:
  - name: a
    given: {memers: [], members: [{store: s02, phone: x, points: 007}, {phone: y, _att: 2026, level: [1]}]}
    expect: {members: [{points: 1, lvel: 2, _winners: {name: s02}}]}
  - {name: b, given: {}, expect: {}}
polices: {}
"""
TOLD = [
    "1: version: must be at least 1",
    '5: tables.members.key.phone: "phone_ch" is not a normaliser; did you mean "phone_cn"?',
    '7: tables.members.columns.name.stores[0]: "s01" is not a store; did you mean "s001"?',
    '8: tables.members.columns.level.rule: "higest" is not a rule; did you mean "highest"?',
    "9: tables.members.columns.born: who owns it is decided by born, which is decided by born itself",
    '10: tables.members.columns.nick: no store has the attribute "teir"; did you mean "tier"?',
    "11: tables.members.columns.rate.value: must be text, a number, true or false; put anything else in quotes",
    "12: tables.members.columns.phone: is part of the key, which is the same in every store; take its rule out",
    '13: tables.members.deletes: "sometimes" is not known here; allowed: latest, any, all, never',
    "14: tables.members.contest.within: must be a duration with its unit, such as 30s, 10m, 2h or 1d",
    "15: tables.goods.key: a shared table needs its business key, such as {phone: phone_cn}",
    "16: tables.sales.deletes: means nothing in an isolated table; write `scope: shared` or take it out",
    "19: tests[0].given.members[0].points: YAML reads this as another number than it looks like; put it in quotes or "
    "write it plainly",
    '19: tests[0].given.members[0].store: "s02" is not a store; did you mean "s002"?',
    '19: tests[0].given.members[1]._att: "_att" is not known here; did you mean "_at"?',
    "19: tests[0].given.members[1].level: must be one value: text, a number, a time, true, false or null",
    '19: tests[0].given.members[1].store: "store" is required here',
    '19: tests[0].given.memers: "memers" is not a shared table of this file; did you mean "members"?',
    "20: tests[0].expect.members[0]: lacks phone, the key of members",
    '20: tests[0].expect.members[0]._winners: no given row has "name"',
    '20: tests[0].expect.members[0]._winners.name: "s02" is not a store; did you mean "s002"?',
    '20: tests[0].expect.members[0].lvel: no given row has "lvel"; did you mean "level"?',
    "21: tests[1].expect: must not be empty",
    "21: tests[1].given: must not be empty",
    '22: polices: "polices" is not known here; allowed: tables, tests, version',
]


def test_a_file_with_a_fault_of_every_kind_gives_all_of_them_at_once(policy: Policy) -> None:
    """Each with its line, its place, what is wrong and what to write instead."""
    code, out, err = policy(FAULTS, "check")
    assert (code, out) == (1, "")
    assert [line.removeprefix("policies.yaml:") for line in err.splitlines()] == TOLD
    code, out, _ = policy(FAULTS, "check", "--output", "json")
    assert (code, len(json.loads(out)["faults"])) == (1, len(TOLD))


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("points: .inf", ".points: must be one value"),
        ("points: 12:30", ".points: YAML reads this as another number than it looks like"),
        ("_at: noon", "._at: must be a time, such as 2026-01-01 12:00:00"),
        ("_at: 1969-07-20", "._at: must be after 1970"),
        ("_at: {nmae: 2026-01-01}, name: x", ': `_at` names "nmae", which the row has not; did you mean "name"?'),
        ("_deleted: later", "._deleted: must be a time"),
        ("_snapshot: true, _at: 2026-01-01", ": a `_snapshot` row was there before anyone looked"),
    ],
)
def test_a_row_that_cannot_be_meant_is_refused(policy: Policy, row: str, told: str) -> None:
    code, _, err = policy(case(f"{{store: s001, {PHONE}, {row}}}", ""), "check")
    assert code == 1
    assert err.startswith(f"policies.yaml:11: tests[0].given.members[0]{told}")


def test_config_validate_finds_the_faults_of_tests_and_runs_none(policy: Policy) -> None:
    """Form is checked in one way; that a test fails is no fault of the file."""
    failing = case(f"{{store: s001, {PHONE}, points: 1}}", f"{{{PHONE}, points: 2}}")
    assert policy(failing, "test")[0] == 1
    assert policy(failing, "check") == (
        0,
        "policies.yaml: ok, 1 shared table, 1 test, not run: `tillstream policy test`\n",
        "",
    )
    with pytest.raises(SystemExit) as left:
        commands.main(["config", "validate"])
    assert left.value.code == 0


def test_a_new_file_is_checked_whatever_the_present_one_is_like(policy: Policy) -> None:
    """It may be what puts an end to the faults."""
    Path("new.yaml").write_text(MEMBERS, encoding="utf-8")
    code, out, err = policy("version: 0\n", "check", "new.yaml")
    assert (code, out, err) == (0, "new.yaml: ok, 1 shared table, 0 tests\n", "")


def test_faults_are_json_where_results_are(policy: Policy) -> None:
    code, out, err = policy("version: 0\ntables: {}\n", "test", "--output", "json")
    assert (code, err) == (1, "")
    assert [fault["line"] for fault in json.loads(out)["faults"]] == [1]


def test_tests_do_not_count_for_what_the_policy_is() -> None:
    """A test that is added asks for no new decisions."""
    tested = parse_policy(parse(case(f"{{store: s001, {PHONE}}}", f"{{{PHONE}}}"), "x"), None)
    assert tested.cases
    assert tested.fingerprint == parse_policy(parse(MEMBERS, "x"), None).fingerprint


def test_stores_that_a_rule_ranks_must_be_known_to_a_test(policy: Policy) -> None:
    """Alone, the file does not say which store comes first, and the test would decide without it."""
    ranked = case(
        f"{{store: s001, {PHONE}, points: 1}}, {{store: s002, {PHONE}, points: 2}}", f"{{{PHONE}, points: 1}}"
    )
    ranked = ranked.replace("points: {rule: sum}", "points: {rule: priority, by: tier, order: [flagship]}")
    assert policy(ranked, "test", "policies.yaml")[0] == 0
    Path("tillstream.yaml").unlink()
    code, out, err = policy(ranked, "test", "policies.yaml")
    assert (code, out) == (1, "")
    assert "tables.members.columns.points ranks stores by tier, of which tillstream.yaml tells" in err


def test_check_without_a_configuration_says_nothing_of_stores(policy: Policy) -> None:
    """A file that somebody sent can be looked at alone."""
    Path("tillstream.yaml").unlink()
    code, out, _ = policy(MEMBERS + "tests: []\n", "check", "policies.yaml")
    assert code == 0
    assert out.splitlines() == [
        "policies.yaml: ok, 1 shared table, 0 tests",
        "without tillstream.yaml: nothing is said of the stores that it names",
    ]
    code, out, _ = policy(MEMBERS, "check", "policies.yaml", "--output", "json")
    assert json.loads(out)["stores_checked"] is False
    code, _, err = policy(MEMBERS, "check")
    assert code == 1
    assert "tillstream.yaml: there is no such file" in err


def test_an_editor_completes_the_file_from_the_schema(policy: Policy) -> None:
    """It knows every word of the README's policies and tests."""
    code, out, _ = policy(MEMBERS, "schema")
    assert code == 0
    schema = json.loads(out)
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.validate(as_an_editor_reads(of_the_readme()[0]), schema)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("given:", "gven:"),
        ("_deleted:", "_delted:"),
        ("_winners:", "_winner:"),
        ("points: 30", "points: [30]"),
        ("{sku: upper}", "{sku: phone:UK}"),
        ("{rule: sum}", "{rule: smu}"),
    ],
)
def test_an_editor_underlines_what_is_wrong(policy: Policy, right: str, wrong: str) -> None:
    schema = json.loads(policy(MEMBERS, "schema")[1])
    text = of_the_readme()[0]
    jsonschema.validate(as_an_editor_reads(text.replace("{sku: upper}", "{sku: phone:MY}")), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(as_an_editor_reads(text.replace(right, wrong)), schema)


class _Yaml12(yaml.SafeLoader):
    """As editors read YAML: by version 1.2, which has no times."""


_Yaml12.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in known if not tag.endswith(":timestamp")]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def as_an_editor_reads(text: str) -> Any:
    return yaml.load(text, Loader=_Yaml12)


def test_without_tests_there_is_nothing_to_pass(policy: Policy) -> None:
    code, _, err = policy(MEMBERS, "test")
    assert code == 1
    assert "policies.yaml has no tests" in err


numbers = st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-99, max_value=99)


@given(amounts=st.lists(numbers, min_size=1, max_size=6), wrong=st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_sum_is_found_right_or_wrong(amounts: list[object], wrong: bool) -> None:
    """The case fails exactly where the expected sum is not the sum."""
    rows = ", ".join(f"{{store: s{n}, {PHONE}, points: {amount}}}" for n, amount in enumerate(amounts))
    expected = sum(amounts) + wrong  # type: ignore[call-overload,operator]
    parsed = parse_policy(parse(case(rows, f"{{{PHONE}, points: {expected}}}"), "x"), None)
    assert bool(differences(parsed, parsed.cases[0])) is wrong
