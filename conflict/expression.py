"""The language of `when:`: what is true of a row, in three values as SQL has them.

It is written in Python's grammar and has names, literals, comparisons, `and`, `or`, `not`, `in [...]`, `is null`, sums,
products and the functions below: no attribute of any object, no clock, no chance. NULL is unknown, and so is what is
compared with it. Numbers are exact; values of two kinds are never compared in silence.
"""

import ast
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

from simpleeval import SimpleEval

from conflict.values import difference, product, total
from tillstream.checked_yaml import suggestion

STORE = "store"  # store.id, and what tillstream.yaml says of the store
ROW = "row"  # row["a name"], for columns whose name is no plain word
MOST_CHARACTERS = 2_000


class ExpressionError(ValueError):
    """It says something that the language does not have."""


class KindError(TypeError):
    """A value is of another kind than the expression takes it for."""


@dataclass(frozen=True, slots=True)
class Expression:
    text: str
    columns: tuple[str, ...]
    attributes: tuple[str, ...]  # of the store, but for its id
    tree: ast.AST

    def holds(self, names: Mapping[str, Any]) -> bool:
        """Whether it is true, where `names` are the columns by name, and what is said of the store by `store.<name>`.
        KindError where that cannot be told."""
        evaluator = _evaluator()
        evaluator.names = names
        found = evaluator.eval(self.text, previously_parsed=self.tree)
        if found is not None and not isinstance(found, bool):
            raise KindError(f"it comes to {_told(found)}, which is neither true nor false")
        return found is True


@lru_cache(maxsize=1_000)
def parsed(text: str) -> Expression:
    """ExpressionError says what is wrong and what would be right."""
    line = " ".join(text.splitlines()).strip()
    if len(line) > MOST_CHARACTERS:
        raise ExpressionError(f"is longer than {MOST_CHARACTERS} characters")
    try:
        tree = ast.parse(line, mode="eval")
    except SyntaxError as error:
        raise ExpressionError(f"cannot be read at character {error.offset or 1}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError):
        raise ExpressionError("cannot be read; write it more simply") from None
    reading = _Reading(line)
    plain = reading.expression(tree.body)
    return Expression(text, tuple(sorted(reading.columns)), tuple(sorted(reading.attributes)), plain)


# --- from Python's grammar to what the evaluator is given -------------------------------------------------

_LITERALS: Mapping[str, Any] = {"true": True, "false": False, "null": None}
MOST_DEEP = 50  # parts within parts; what is nested deeper than that nobody reads


class _Reading:
    """Takes what the language has and refuses all else; the outcome holds nothing but names, constants, operators and
    calls of our functions."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._depth = 0
        self.columns: set[str] = set()
        self.attributes: set[str] = set()

    def expression(self, node: ast.expr) -> ast.expr:
        self._depth += 1
        if self._depth > MOST_DEEP:
            raise ExpressionError("is nested too deeply; write it more simply")
        read = self._expression(node)
        self._depth -= 1
        return read

    def _expression(self, node: ast.expr) -> ast.expr:
        match node:
            case ast.BoolOp():
                joint = ast.BitAnd() if isinstance(node.op, ast.And) else ast.BitOr()
                return self._joined([self.expression(each) for each in node.values], joint)
            case ast.UnaryOp(op=ast.Not() | ast.USub()):
                return ast.UnaryOp(node.op, self.expression(node.operand))
            case ast.BinOp(op=ast.Add() | ast.Sub() | ast.Mult()):
                return ast.BinOp(self.expression(node.left), node.op, self.expression(node.right))
            case ast.Compare():
                return self._comparisons(node)
            case ast.Call():
                return self._call(node)
            case ast.Constant():
                return ast.Constant(self._literal(node))
        return self._name(node)

    def _name(self, node: ast.expr) -> ast.expr:
        match node:
            case ast.Name(id=word) if word in _LITERALS:
                return ast.Constant(_LITERALS[word])
            case ast.Name(id=word) if word not in (STORE, ROW):
                self.columns.add(word)
                return ast.Name(word)
            case ast.Attribute(value=ast.Name(id="store"), attr=word):
                if word != "id":
                    self.attributes.add(word)
                return ast.Name(f"{STORE}.{word}")
            case ast.Subscript(value=ast.Name(id="row"), slice=ast.Constant(value=str(word))):
                self.columns.add(word)
                return ast.Name(word)
        raise ExpressionError(f"`{self._part(node)}` means nothing here; {_ALL}")

    def _comparisons(self, node: ast.Compare) -> ast.expr:
        """`a < b < c` is two."""
        lefts, pairs = [node.left, *node.comparators], []
        for left, op, right in zip(lefts, node.ops, node.comparators, strict=False):
            pairs.append(self._comparison(node, left, op, right))
        return self._joined(pairs, ast.BitAnd())

    def _comparison(self, node: ast.Compare, left: ast.expr, op: ast.cmpop, right: ast.expr) -> ast.expr:
        if isinstance(op, ast.Is | ast.IsNot):
            if not _is_null(right):
                raise ExpressionError(f"`{self._part(node)}`: only `is null` and `is not null` there are; write ==")
            return ast.Compare(self.expression(left), [op], [ast.Constant(None)])
        if isinstance(op, ast.In | ast.NotIn):
            return self._one_of(node, left, op, right)
        if _is_null(left) or _is_null(right):
            raise ExpressionError(f"`{self._part(node)}` is never true; write `is null` or `is not null`")
        return ast.Compare(self.expression(left), [op], [self.expression(right)])

    def _one_of(self, node: ast.Compare, left: ast.expr, op: ast.cmpop, right: ast.expr) -> ast.expr:
        """`a in [b, c]` is `a == b or a == c`."""
        if not isinstance(right, ast.List | ast.Tuple | ast.Set) or not right.elts:
            raise ExpressionError(f"`{self._part(node)}`: `in` takes a list, such as ['gold', 'silver']; "
                                  "for a part of a text there is contains(text, part)")  # fmt: skip
        equal = [self._comparison(node, left, ast.Eq(), each) for each in right.elts]
        any_of = self._joined(equal, ast.BitOr())
        return any_of if isinstance(op, ast.In) else ast.UnaryOp(ast.Not(), any_of)

    def _call(self, node: ast.Call) -> ast.expr:
        name = node.func.id if isinstance(node.func, ast.Name) else self._part(node.func)
        if name not in _FUNCTIONS:
            raise ExpressionError(f'"{name}" is not a function{suggestion(name, _FUNCTIONS)}')
        takes = _FUNCTIONS[name].__code__.co_argcount
        if len(node.args) != takes or node.keywords:
            raise ExpressionError(f"{name}() takes {takes} value{'s' * (takes != 1)}: {_USES[name]}")
        return ast.Call(ast.Name(name), [self.expression(each) for each in node.args], [])

    def _literal(self, node: ast.Constant) -> Any:
        value = node.value
        if isinstance(value, float):
            return Decimal(self._part(node).replace("_", ""))  # as it is written: a float loses digits
        if isinstance(value, str | int) or value is None:
            return value
        raise ExpressionError(f"`{self._part(node)}` means nothing here; {_ALL}")

    def _part(self, node: ast.AST) -> str:
        return ast.get_source_segment(self._text, node) or self._text

    def _joined(self, parts: list[ast.expr], by: ast.operator) -> ast.expr:
        """In halves, so that a long list is not deep."""
        if len(parts) == 1:
            return parts[0]
        middle = len(parts) // 2
        return ast.BinOp(self._joined(parts[:middle], by), by, self._joined(parts[middle:], by))


def _is_null(node: ast.expr) -> bool:
    return (isinstance(node, ast.Constant) and node.value is None) or (isinstance(node, ast.Name) and node.id == "null")


# --- what the operators mean ------------------------------------------------------------------------------


def _and(left: Any, right: Any) -> bool | None:
    both = [_truth(left), _truth(right)]
    return False if False in both else None if None in both else True


def _or(left: Any, right: Any) -> bool | None:
    both = [_truth(left), _truth(right)]
    return True if True in both else None if None in both else False


def _not(value: Any) -> bool | None:
    truth = _truth(value)
    return None if truth is None else not truth


def _truth(value: Any) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise KindError(f"{_told(value)} is neither true nor false")


def _compared(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool | None]:
    def compared(left: Any, right: Any) -> bool | None:
        return None if left is None or right is None else compare(*_alike(left, right))

    return compared


def _alike(left: Any, right: Any) -> tuple[Any, Any]:
    """Two values that can be compared: a text beside a time is read as one."""
    left, right = _exact(left), _exact(right)
    if isinstance(left, str) and isinstance(right, date):
        left = _time(left, right)
    elif isinstance(right, str) and isinstance(left, date):
        right = _time(right, left)
    if isinstance(left, datetime) and isinstance(right, datetime) and (left.tzinfo is None) != (right.tzinfo is None):
        left, right = (each if each.tzinfo else each.replace(tzinfo=UTC) for each in (left, right))
    if _kind(left) != _kind(right):
        raise KindError(f"{_told(left)} cannot be compared with {_told(right)}")
    return left, right


def _exact(value: Any) -> Any:
    """A double by its shortest decimal, which is what a person reads and writes."""
    if isinstance(value, UUID):
        return str(value)
    return Decimal(repr(value)) if isinstance(value, float) else value


def _time(text: str, beside: date) -> date:
    read = datetime.fromisoformat if isinstance(beside, datetime) else date.fromisoformat
    try:
        return read(text)
    except ValueError:
        raise KindError(f"{_told(beside)} cannot be compared with {_told(text)}") from None


_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "true or false"), (int, "a number"), (Decimal, "a number"), (str, "a text"), (datetime, "a time"),
    (date, "a date"), (timedelta, "a duration"), (bytes, "bytes"),
)  # fmt: skip


def _kind(value: Any) -> str:
    return next((kind for of, kind in _KINDS if isinstance(value, of)), type(value).__name__)


def _told(value: Any) -> str:
    """Its kind, never itself: the reason of a parked key is read by more people than the key's values are."""
    return "NULL" if value is None else _kind(_exact(value))


def _calculated(calculate: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def calculated(left: Any, right: Any) -> Any:
        if left is None or right is None:
            return None
        left, right = _exact(left), _exact(right)
        for each in (left, right):
            if _kind(each) != "a number":
                raise KindError(f"{_told(each)} is no number to calculate with")
        return calculate(left, right)

    return calculated


def _negative(value: Any) -> Any:
    return _calculated(difference)(0, value)


def _of_text(function: Callable[..., Any]) -> Callable[..., Any]:
    """NULL of NULL; KindError of what is no text."""

    def of_text(*values: Any) -> Any:
        for each in values:
            if each is not None and not isinstance(each, str):
                raise KindError(f"{_told(each)} is no text")
        return None if None in values else function(*values)

    return of_text


def lower(text: str) -> str:
    return text.lower()


def upper(text: str) -> str:
    return text.upper()


def length(text: str) -> int:
    return len(text)


def contains(text: str, part: str) -> bool:
    return part in text


def starts_with(text: str, part: str) -> bool:
    return text.startswith(part)


def ends_with(text: str, part: str) -> bool:
    return text.endswith(part)


_FUNCTIONS = {each.__name__: each for each in (lower, upper, length, contains, starts_with, ends_with)}
_USES = {
    "lower": "lower(name)", "upper": "upper(sku)", "length": "length(phone)", "contains": "contains(name, 'Ltd')",
    "starts_with": "starts_with(sku, 'A-')", "ends_with": "ends_with(email, '.cn')",
}  # fmt: skip
_OPERATORS: Mapping[type, Callable[..., Any]] = {
    ast.BitAnd: _and,
    ast.BitOr: _or,
    ast.Not: _not,
    ast.USub: _negative,
    ast.Is: lambda value, null: value is None,
    ast.IsNot: lambda value, null: value is not None,
    ast.Eq: _compared(lambda left, right: left == right),
    ast.NotEq: _compared(lambda left, right: left != right),
    ast.Lt: _compared(lambda left, right: left < right),
    ast.LtE: _compared(lambda left, right: left <= right),
    ast.Gt: _compared(lambda left, right: left > right),
    ast.GtE: _compared(lambda left, right: left >= right),
    ast.Add: _calculated(lambda left, right: total([left, right])),
    ast.Sub: _calculated(difference),
    ast.Mult: _calculated(product),
}
_ALL = (
    """there are columns, row["..."] for one whose name is no plain word, store.id, store.<attribute>, 'texts', """
    "numbers, true, false, ==, !=, <, <=, >, >=, in [...], is null, and, or, not, +, -, *, "
    f"{', '.join(f'{name}()' for name in sorted(_FUNCTIONS))}"
)
_of_this_thread = threading.local()


def _evaluator() -> SimpleEval:
    """One a thread: its names are those of the row that is looked at."""
    if not hasattr(_of_this_thread, "evaluator"):
        functions = {name: _of_text(function) for name, function in _FUNCTIONS.items()}
        _of_this_thread.evaluator = SimpleEval(operators=dict(_OPERATORS), functions=functions, names={})
    evaluator: SimpleEval = _of_this_thread.evaluator
    return evaluator
