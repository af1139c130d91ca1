"""`tillstream policy check`, `test` and `schema`: a policy's own tests, and its faults, without any server."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from conflict import rules
from conflict.policy import RuleName
from tillstream import commands

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
    columns: {points: {rule: sum}, born: {rule: earliest}, tags: {rule: union}, level: {rule: max}}
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


def test_the_readmes_tests_run(policy: Policy) -> None:
    """Its policy with its tests, and the output that it shows."""
    written = re.search(r"^```yaml\n(# policies.yaml\nversion: 2\n.*?)^```$", README, re.MULTILINE | re.DOTALL)
    blocks = dict(re.findall(r"^```(\w+) policy-tests\n(.*?)^```$", README, re.MULTILINE | re.DOTALL))
    assert written is not None
    assert blocks["sh"] == "tillstream policy test\n"
    assert policy(written[1] + blocks["yaml"], "test") == (0, blocks["text"], "")


@pytest.mark.parametrize(
    ("given_", "expect"),
    [
        # a number is compared by its value, and added up exactly
        (f"{{store: s001, {PHONE}, points: 0.10}}, {{store: s002, {PHONE}, points: 0.2}}",
         f"{{{PHONE}, points: '0.3'}}"),
        # two rows of one store count both; a row without a key makes no central row
        (f"{{store: s001, {PHONE}, points: 1}}, {{store: s001, _row: 2, {PHONE}, points: 2}}, "
         "{store: s001, _row: 3, phone: '', points: 5}", f"{{{PHONE}, points: 3}}"),
        # a value that was there when the store was first read loses to one that was seen changing
        (f"{{store: s001, {PHONE}, name: seen}}, {{store: s002, {PHONE}, name: read, _snapshot: true}}",
         f"{{{PHONE}, name: seen, _winners: {{name: s001}}}}"),
        # correcting a value keeps its place
        (f"{{store: s001, {PHONE}, born: 1990-10-01, _at: 2026-05-01, _since: 2026-01-01}}, "
         f"{{store: s002, {PHONE}, born: 1991-01-01, _at: 2026-02-01}}", f"{{{PHONE}, born: 1990-10-01}}"),
        # changed later than it was deleted elsewhere
        (f"{{store: s001, {PHONE}, _deleted: true, _at: 2026-01-01 09:00}}, {{store: s002, {PHONE}, name: x}}",
         f"{{{PHONE}, name: x, _contested: []}}"),
        (f"{{store: s001, {PHONE}, tags: 'b, a'}}, {{store: s002, {PHONE}, tags: c}}", f"{{{PHONE}, tags: 'a,b,c'}}"),
        (f"{{store: s001, {PHONE}, name: x, _at: 2026-01-01}}, {{store: s002, {PHONE}, name: y, _at: 2026-01-01}}",
         f"{{{PHONE}, name: y, _uncertain: [name]}}"),
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
        (f"{{store: s001, {PHONE}, name: x}}", f"{{{PHONE}, nmae: x}}", 'nmae: expected "x", got nothing'),
        (f"{{store: s001, {PHONE}, name: x}}, {{store: s002, {PHONE}, name: y}}", f"{{{PHONE}, _contested: []}}",
         "_contested: expected none, got name"),
        (f"{{store: s001, {PHONE}, name: x}}", f"{{{PHONE}, _winners: {{name: s002}}}}",
         "name: expected the value of store s002, got that of s001"),
        (f"{{store: s001, {PHONE}, level: x}}, {{store: s002, {PHONE}, level: 1}}", f"{{{PHONE}, level: 1}}",
         "expected a decision, got none: these values do not go together"),
    ],
)  # fmt: skip
def test_a_case_that_fails_says_what_came_and_why(policy: Policy, given_: str, expect: str, told: str) -> None:
    code, out, err = policy(case(given_, expect), "test")
    assert (code, err) == (1, "")
    assert out.startswith("FAIL  a case (policies.yaml:8)\n")
    assert told in out
    assert out.endswith("1 test, 1 failed\n")
    code, out, _ = policy(case(given_, expect), "test", "--output", "json")
    (found,) = json.loads(out)["tests"]
    assert (code, found["ok"], found["line"], len(found["differences"])) == (1, False, 8, 1)


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
      rate: {rule: constant, value: 1.5}
      phone: {rule: latest}
    deletes: sometimes
    contest: {within: 10}
  goods: {scope: shared}
  sales: {deletes: all}
tests:
  - name: a
    given: {memers: [], members: [{store: s02, phone: x, points: 0.12345678901234567}, {phone: y, _att: 2026}]}
    expect: {members: [{points: 1}]}
polices: {}
"""
TOLD = [
    "1: version: must be at least 1",
    '5: tables.members.key.phone: "phone_ch" is not a normaliser; did you mean "phone_cn"?',
    '7: tables.members.columns.name.stores[0]: "s01" is not a store; did you mean "s001"?',
    '8: tables.members.columns.level.rule: "higest" is not a rule; did you mean "highest"?',
    "9: tables.members.columns.born: who owns it is decided by born, which is decided by born itself",
    '10: tables.members.columns.nick: no store has the attribute "teir"; did you mean "tier"?',
    "11: tables.members.columns.rate.value: must be text, a whole number, true or false; put anything else in quotes",
    "12: tables.members.columns.phone: is part of the key, which is the same in every store; take its rule out",
    '13: tables.members.deletes: "sometimes" is not known here; allowed: latest, any, all, never',
    "14: tables.members.contest.within: must be a duration with its unit, such as 30s, 10m, 2h or 1d",
    "15: tables.goods.key: a shared table needs its business key, such as {phone: phone_cn}",
    "16: tables.sales.deletes: means nothing in an isolated table; write `scope: shared` or take it out",
    '19: tests[0].given.members[0].store: "s02" is not a store; did you mean "s002"?',
    '19: tests[0].given.members[1].store: "store" is required here',
    '19: tests[0].given.memers: "memers" is not a shared table of this file; did you mean "members"?',
    "20: tests[0].expect.members[0]: lacks phone, the key of members",
    '21: polices: "polices" is not known here; allowed: tables, tests, version',
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
        ("{store: s001, points: 0.12345678901234567}", "points: YAML does not keep all digits of this number"),
        ("{store: s001, points: [1]}", "points must be one value"),
        ("{store: s001, _att: 2026-01-01}", '"_att" is not known here; did you mean "_at"?'),
        ("{store: s001, _at: noon}", "must be a time, such as 2026-01-01 12:00:00"),
    ],
)
def test_a_row_that_cannot_be_meant_is_refused(policy: Policy, row: str, told: str) -> None:
    code, _, err = policy(case(row, ""), "check")
    assert code == 1
    assert told in err
    assert err.startswith("policies.yaml:9: tests[0].given.members[0]")


def test_check_without_a_configuration_says_nothing_of_stores(policy: Policy) -> None:
    """A file that somebody sent can be looked at alone."""
    Path("tillstream.yaml").unlink()
    code, out, _ = policy(MEMBERS + "tests: []\n", "check", "policies.yaml")
    assert (code, out) == (0, "policies.yaml: ok, 1 shared table, 0 tests\n")
    code, _, err = policy(MEMBERS, "check")
    assert code == 1
    assert "tillstream.yaml: there is no such file" in err


def test_an_editor_completes_the_file_from_the_schema(policy: Policy) -> None:
    """Every word of the README's policies and tests is in it, and a wrong one is not."""
    code, out, _ = policy(MEMBERS, "schema")
    assert code == 0
    schema = json.loads(out)
    jsonschema.Draft7Validator.check_schema(schema)
    whole = yaml.safe_load(case(f"{{store: s001, {PHONE}, points: 1, _deleted: true}}", f"{{{PHONE}, points: 1}}"))
    jsonschema.validate(whole, schema)
    whole["tests"][0]["gven"] = {}
    with pytest.raises(jsonschema.ValidationError, match="gven"):
        jsonschema.validate(whole, schema)


def test_without_tests_there_is_nothing_to_pass(policy: Policy) -> None:
    code, _, err = policy(MEMBERS, "test")
    assert code == 1
    assert "policies.yaml has no tests" in err


numbers = st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-99, max_value=99)


@given(amounts=st.lists(numbers, min_size=1, max_size=6), wrong=st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_sum_is_found_right_or_wrong(amounts: list[object], wrong: bool) -> None:
    """The case fails exactly where the expected sum is not the sum."""
    from conflict.case_run import differences
    from conflict.policy_file import parse_policy
    from tillstream.checked_yaml import parse

    rows = ", ".join(f"{{store: s{n}, {PHONE}, points: {amount}}}" for n, amount in enumerate(amounts))
    expected = sum(amounts) + wrong  # type: ignore[call-overload,operator]
    parsed = parse_policy(parse(case(rows, f"{{{PHONE}, points: {expected}}}"), "x"), None)
    assert bool(differences(parsed, parsed.cases[0])) is wrong
