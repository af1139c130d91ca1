"""Rules of one's own: asked in a process of their own, within their time, twice; and their text is the policy's."""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import jsonschema
import pytest
import yaml

from conflict.functions import Function, function_of, modules_of
from conflict.policy import Policy
from conflict.policy_file import parse_policy, policy_schema
from sinks.own_functions import runner as runner_module
from sinks.own_functions.fitting import fitted
from sinks.own_functions.runner import Answer, Runner
from sinks.own_functions.wire import decode, encode
from tillstream import commands
from tillstream.checked_yaml import load, parse
from tillstream.errors import ConfigError
from tillstream.own_modules import read_policy

MODULE = """\
import os, time
import beside

def most(rows):
    return max(row.value for row in rows)

def first(rows):
    return rows[0].value

def told(rows):
    print("what it prints is no answer")
    row = rows[0]
    return f"{row.store} {row.value} {row.changed_at} {row.values['points']} {row.stands} {len(row.values)}"

def changes(rows):
    rows[0].value = 3

def endless(rows):
    while len(rows) > 1:
        pass
    return 1

def leaves(rows):
    os._exit(3)

def exits(rows):
    raise SystemExit("enough")

def environment(rows):
    return ",".join(os.environ)

def by_chance(rows, count=[0]):
    count[0] += 1
    return count[0]

def list_of(rows):
    return [1]

def everything(rows):
    return len(bytearray(4 << 30))

def helped(rows):
    return beside.ANSWER

number = 3
"""
MODULES = {"own.py": MODULE, "beside.py": "ANSWER = 42\n"}
RUN = Callable[..., Answer]


def function(name: str, seconds: float = 5.0) -> Function:
    return function_of(f"own:{name}", seconds, MODULES)


def question(*values: Any) -> list[dict[str, Any]]:
    return [
        {"store": f"s{n}", "value": encode(value), "changed_us": 1_000_000 * n or None,
         "values": {"points": ["int", "7"]}, "stands": True}
        for n, value in enumerate(values)
    ]  # fmt: skip


@pytest.fixture
def runner() -> Iterator[Runner]:
    made = Runner(MODULES)
    yield made
    made.close()


def error_of(answer: Answer) -> str:
    assert answer.error is not None, answer
    return str(answer.error)


def test_a_function_is_asked_about_many_keys_at_once(runner: Runner) -> None:
    """In their order; what one says of a key has nothing to do with another."""
    keys = [question(Decimal(n), Decimal("0.10")) for n in range(500)]
    answers = runner.ask(function("most"), keys)
    assert [each.value for each in answers[:3]] == [Decimal("0.10"), Decimal(1), Decimal(2)]
    assert [each.value for each in answers[1:]] == [Decimal(n) for n in range(1, 500)]


def test_what_it_is_given(runner: Runner) -> None:
    """Store, value, the time of its last change, the row's columns, whether the row stands for its store: frozen."""
    (answer,) = runner.ask(function("told"), [question("x")])
    assert answer.value == "s0 x None 7 True 1"
    (answer,) = runner.ask(function("changes"), [question("x")])
    assert error_of(answer).startswith("own:changes: own.py:16: FrozenInstanceError: ")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("first", "own:first: it says something else when the rows come in another order"),
        ("by_chance", "own:by_chance: it says something else when the rows come in another order"),
        ("exits", "own:exits: own.py:27: SystemExit: enough"),
        ("leaves", "own:leaves ended the process that it ran in"),
        ("list_of", "own:list_of: TypeError: list is not a value that a column can have"),
        ("everything", "own:everything: own.py:40: MemoryError"),
        ("missing", "own:missing cannot be imported: AttributeError: module 'own' has no attribute 'missing'"),
        ("number", "own:number cannot be imported: own:number is no function"),
    ],
)
def test_whatever_it_does_is_an_error_of_its_own(runner: Runner, name: str, why: str) -> None:
    """It names the line where it can, and the next function is asked as if nothing had been."""
    (answer,) = runner.ask(function(name), [question(1, 2)])
    assert error_of(answer) == why
    assert runner.ask(function("helped"), [question(1)]) == [Answer(42)]


def test_who_takes_too_long_is_ended_and_the_others_are_asked(runner: Runner) -> None:
    """Each key has its time; after some of them it is not asked any more in that batch."""
    endless = function("endless", 0.2)
    answers = runner.ask(endless, [question(1), question(1, 2), question(1)])
    assert (answers[0], answers[2]) == (Answer(1), Answer(1))
    assert error_of(answers[1]) == "own:endless took longer than 0.2 s"
    answers = runner.ask(endless, [question(1, 2)] * 9)
    assert {error_of(each) for each in answers[:3]} == {"own:endless took longer than 0.2 s"}
    assert {error_of(each) for each in answers[3:]} == {
        "own:endless was not asked: its process ended for 3 keys beside it"
    }


def test_it_has_nothing_of_our_environment(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords are named by environment variables of any name."""
    monkeypatch.setenv("POS_PASSWORD", "secret")
    (answer,) = runner.ask(function("environment"), [question(1)])
    assert set(answer.value.split(",")) <= {*runner_module.KEPT_OF_ENVIRONMENT, "LC_CTYPE"}


@pytest.mark.parametrize(
    "value",
    [
        None, True, "王维\x00\ud800", 2**70, Decimal("0.10"), Decimal("1E+3"), 0.1, datetime(2026, 1, 1, 8, tzinfo=UTC),
        datetime(2026, 1, 1, 8, 0, 0, 5), date(1, 1, 1), timedelta(hours=-838, microseconds=1), b"\x00\xff",
        UUID(int=5),
    ],
)  # fmt: skip
def test_values_arrive_as_they_are(value: Any) -> None:
    """To the last digit, and of the same type."""
    assert repr(decode(encode(value))) == repr(value)


@pytest.mark.parametrize(
    ("value", "kind", "taken"),
    [
        (5, "numeric", 5), (Decimal("5.00"), "integer", 5), (2**31 - 1, "integer", 2**31 - 1),
        (0.1, "double precision", 0.1), (None, "integer", None), (False, "boolean", False), ("x", "text", "x"),
        ("{}", "jsonb", "{}"),
        (UUID(int=5), "uuid", str(UUID(int=5))), (date(2026, 1, 1), "date", date(2026, 1, 1)), (b"", "bytea", b""),
        (datetime(2026, 1, 1), "timestamp", datetime(2026, 1, 1)), (timedelta(1), "interval", timedelta(1)),
    ],
)  # fmt: skip
def test_a_value_that_fits_its_column_is_taken(value: Any, kind: str, taken: Any) -> None:
    """A whole number however it is written."""
    assert fitted(value, kind) == taken


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (0.1, "numeric"), (Decimal("NaN"), "numeric"), (True, "numeric"), ("5", "numeric"), (Decimal("5.5"), "integer"),
        (2**31, "integer"), (-(2**15) - 1, "smallint"), (1, "boolean"), (5, "text"), ("a\x00", "text"),
        ("\ud800", "text"), ("{", "jsonb"), ("x", "uuid"), (datetime(2026, 1, 1), "date"),
        (datetime(2026, 1, 1), "timestamptz"),
        (datetime(2026, 1, 1, tzinfo=UTC), "timestamp"), (float("nan"), "real"), ("x", "bytea"), (1, "interval"),
        (1, "point"),
    ],
)  # fmt: skip
def test_one_that_does_not_is_refused_and_never_bent(value: Any, kind: str) -> None:
    """Nor is the transaction in which it would be written."""
    with pytest.raises(ValueError, match=f"does not fit the column, which is {kind}"):
        fitted(value, kind)


# --- what belongs to a policy -----------------------------------------------------------------------------


def test_the_texts_of_a_module_are_those_of_all_beside_it_that_it_imports() -> None:
    """However deep, in packages, by names from here; what is installed is none of them."""
    files = {
        "own.py": "import json\nfrom rules import levels\nimport rules.deep.er\n",
        "rules/__init__.py": "",
        "rules/levels.py": "def f():\n    from . import other\n    from ..strange import x\n",
        "rules/other.py": "import own\n",
        "rules/deep/__init__.py": "",
        "rules/deep/er.py": "from ..further import name\n",
        "rules/further.py": "this is no Python",
        "unused.py": "",
    }
    assert modules_of("own", files.get) == {path: text for path, text in files.items() if path != "unused.py"}
    assert modules_of("json", files.get) == {}


POLICY = """\
version: 1
tables:
  members:
    scope: shared
    key: {phone: phone_cn}
    columns:
      level: {python: "own:most"}
      name: {rule: priority, stores: [s1], then: {python: "json:dumps", seconds: 2}}
"""


def policy_of(text: str = POLICY, modules: dict[str, str] = MODULES) -> Policy:
    return parse_policy(parse(text, "policies.yaml"), None, modules)


def test_a_changed_module_is_another_policy() -> None:
    """Whatever of it or of what it imports was changed; and so is another time."""
    fingerprint = policy_of().fingerprint
    assert policy_of(modules={**MODULES, "unused.py": "x"}).fingerprint == fingerprint
    assert policy_of(modules={**MODULES, "beside.py": "ANSWER = 43\n"}).fingerprint != fingerprint
    assert policy_of(POLICY.replace("seconds: 2", "seconds: 3")).fingerprint != fingerprint
    assert policy_of(POLICY.replace("own:most", "own:first")).fingerprint != fingerprint
    both = POLICY.replace("{python:", "{rule: python, python:")
    assert policy_of(both).fingerprint == fingerprint


def test_a_policy_has_the_texts_from_beside_its_file(tmp_path: Path) -> None:
    """Not from where the command is called."""
    for path, text in MODULES.items():
        (tmp_path / path).write_text(text)
    (tmp_path / "policies.yaml").write_text(POLICY)
    policy = read_policy(load(tmp_path / "policies.yaml"), None)
    assert policy.source is not None
    assert policy.source.modules == MODULES
    assert policy.fingerprint == policy_of().fingerprint
    (tmp_path / "beside.py").write_bytes(b"# \xff")
    with pytest.raises(ConfigError) as caught:
        read_policy(load(tmp_path / "policies.yaml"), None)
    assert "columns.level.python: beside.py is not UTF-8 text" in str(caught.value)


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("{python: own}", 'must be "module:function"'),
        ("{python: 'own:most()'}", 'must be "module:function"'),
        ("{python: '../own:most'}", 'must be "module:function"'),
        ("{rule: python}", "python needs `python`"),
        ("{rule: max, python: 'own:most'}", "max does not look at `python`; only python does"),
        ("{python: 'own:most', then: latest}", "python does not look at `then`"),
        ("{python: 'own:most', seconds: 0}", "must be more than 0"),
        ("{rule: latest, seconds: 3}", "latest does not look at `seconds`"),
    ],
)
def test_what_means_nothing_is_refused(rule: str, why: str) -> None:
    """With its line."""
    with pytest.raises(ConfigError) as caught:
        policy_of(POLICY.replace('{python: "own:most"}', rule))
    assert str(caught.value).startswith("policies.yaml:7: tables.members.columns.level")
    assert why in str(caught.value)


def test_editors_know_the_short_form() -> None:
    """A rule is named by `rule` or by `python`, and by one of them."""
    schema = policy_schema()
    jsonschema.validate(yaml.safe_load(POLICY), schema)
    jsonschema.validate(yaml.safe_load(POLICY.replace('"own:most"', '"own:most", when: level > 1, then: max')), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(POLICY.replace('python: "own:most"', "when: level > 1")), schema)


# --- commands ---------------------------------------------------------------------------------------------


def run(directory: Path, *arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        commands.main(["policy", *arguments, str(directory / "policies.yaml")])
    return int(left.value.code or 0)


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for path, text in MODULES.items():
        (tmp_path / path).write_text(text)
    (tmp_path / "policies.yaml").write_text(POLICY)
    return tmp_path


def test_check_imports_the_modules_and_says_what_they_are(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a process of their own: one that cannot be imported is a fault with its line, and the module's."""
    assert run(directory, "check") == 0
    printed = capsys.readouterr().out
    assert "members.level is decided by own:most, a rule of your own: tested, not proven\n" in printed
    (directory / "own.py").write_text("import beside\nimport os; os.environ['POS_PASSWORD']\n")
    assert run(directory, "check") == 1
    assert (
        "policies.yaml:7: tables.members.columns.level.python: own:most cannot be imported: own.py:2: KeyError: "
        "'POS_PASSWORD'" in capsys.readouterr().err
    )


@pytest.mark.parametrize(("name", "code"), [("most", 0), ("first", 1), ("endless", 1)])
def test_a_policys_tests_ask_it(directory: Path, name: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    """In many orders of arrival: one that depends on them fails, as does one that takes too long."""
    case = """\
tests:
  - name: two stores
    given: {members: [{store: s1, phone: "13800138000", level: 2}, {store: s2, phone: "13800138000", level: 1}]}
    expect: {members: [{phone: "13800138000", level: 2}]}
"""
    text = POLICY.replace("own:most", f"own:{name}").replace('"}\n', '", seconds: 0.5}\n', 1)
    (directory / "policies.yaml").write_text(text + case)
    assert run(directory, "test") == code
    printed = capsys.readouterr().out
    if name == "first":
        assert "own:first: it says something else when the rows come in another order" in printed
    if name == "endless":
        assert "own:endless took longer than 0.5 s" in printed
    assert not os.path.exists(directory / "__pycache__")
