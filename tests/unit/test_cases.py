"""Every known way to lose or bend data is dealt with somewhere: tests/cases.yaml says where, and is right."""

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CASES: Mapping[int, Mapping[str, str | list[str]]] = yaml.safe_load((ROOT / "tests" / "cases.yaml").read_text())
HOW_MANY = 123
WAYS = {"test", "probe", "doctor", "later", "unseen", "limit"}
OPEN_ISSUES = {"4": "the conflict engine", "5": "Kafka", "6": "operations"}


def answers(*ways: str) -> list[tuple[int, str]]:
    """(case, answer) of these ways."""
    found = []
    for number, case in CASES.items():
        for way in ways:
            given = case.get(way, [])
            found += [(number, each) for each in ([given] if isinstance(given, str) else given)]
    return found


def test_every_case_is_there_once_and_in_order() -> None:
    """Each with a name and at least one way in which it is dealt with. YAML would take the last of two alike."""
    written = re.findall(r"^(\d+):$", (ROOT / "tests" / "cases.yaml").read_text(), re.MULTILINE)
    assert [int(number) for number in written] == list(range(1, HOW_MANY + 1))
    for number, case in CASES.items():
        assert case["case"], number
        assert case.keys() - {"case"}, f"{number} is dealt with nowhere"
        assert case.keys() - {"case"} <= WAYS, number
    assert len({str(case["case"]) for case in CASES.values()}) == HOW_MANY


@pytest.mark.parametrize(("number", "name"), answers("test", "probe"))
def test_its_test_exists(number: int, name: str) -> None:
    """By its function's name, whatever parameters it has."""
    path, _, function = name.partition("::")
    assert function in functions(path), name


@pytest.mark.parametrize(("number", "answer"), answers("doctor"))
def test_its_finding_exists(number: int, answer: str) -> None:
    """Both the subject and the words of one finding."""
    subject, _, words = answer.partition(" / ")
    assert words
    assert any(found == subject and words in sentence for found, sentence in findings()), answer


@pytest.mark.parametrize(("number", "answer"), answers("later"))
def test_its_issue_is_an_open_one(number: int, answer: str) -> None:
    """With a word about what of it is meant."""
    issue, _, what = answer.partition(", ")
    assert issue in OPEN_ISSUES
    assert what


@pytest.mark.parametrize(("number", "words"), answers("unseen"))
def test_the_readme_says_that_it_cannot_see_it(number: int, words: str) -> None:
    assert plain(words) in section("README.md", "## What it cannot see")


@pytest.mark.parametrize(("number", "words"), answers("limit"))
def test_contributing_names_the_limit(number: int, words: str) -> None:
    assert plain(words) in section("CONTRIBUTING.md", "## Known limits")


@cache
def functions(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / "tests" / path).read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


@cache
def findings() -> tuple[tuple[str, str], ...]:
    """(subject, sentence) of each finding that is built anywhere, without what is filled in."""
    sources = (path for path in sorted((ROOT / "connectors").glob("*.py")))
    return tuple(found for path in sources for found in _findings(ast.parse(path.read_text())))


def _findings(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        if node.func.id == "Finding" and {"subject", "sentence", "remedy"} <= given.keys():
            told = f"{_text(given['sentence'])} {_text(given['remedy'])}"
            yield _text(given["subject"]).strip(), told
        elif node.func.id == "_in_my_cnf":
            yield _text(node.args[0]), _text(node.args[1])


def _text(node: ast.expr) -> str:
    """A literal, or the literal parts of an f-string; `_tables(...)` is what it begins with."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_text(part) for part in parts)
        case ast.Call(func=ast.Name(id="_tables")):
            return "tables"
    return ""


@cache
def section(file: str, heading: str) -> str:
    _, _, after = (ROOT / file).read_text().partition(f"\n{heading}\n")
    assert after, f"{file} has no section {heading}"
    return plain(re.split(r"^## ", after, maxsplit=1, flags=re.MULTILINE)[0])


def plain(text: str) -> str:
    """Wherever its lines break."""
    return " ".join(text.split())
