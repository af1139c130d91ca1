"""Rules of one's own: a function in a Python module, named by a policy. It is run by whoever is handed in."""

import ast
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from conflict.resolution import Contribution

SECONDS_A_KEY = 1.0
_WRITTEN = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")

Modules = Mapping[str, str]  # of modules beside the policies file: path from there → text


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    name: str  # module:function
    seconds: float = SECONDS_A_KEY  # for one key
    digest: str = ""  # of the texts of its module and of all beside it that this imports; empty if it is installed

    @property
    def module(self) -> str:
        return self.name.partition(":")[0]


Ask = Callable[[Function, str, Sequence[Contribution]], Any]
"""What the function makes of a column's rows. UndecidableError where it fails."""


def function_of(written: str, seconds: float, modules: Modules) -> Function:
    """ValueError where it is not written as one."""
    if not _WRITTEN.fullmatch(written):
        raise ValueError(
            'must be "module:function", such as "membership:level" for the function level of membership.py'
        )
    function = Function(name=written, seconds=seconds)
    own = modules_of(function.module, modules.get)
    digest = hashlib.sha256(json.dumps(sorted(own.items())).encode()).hexdigest() if own else ""
    return Function(name=written, seconds=seconds, digest=digest)


def modules_of(module: str, read: Callable[[str], str | None]) -> dict[str, str]:
    """The texts of the module and of all that it imports, of those that `read` finds by their path."""
    found: dict[str, str] = {}
    waiting = [module]
    looked_for = set()
    while waiting:
        name = waiting.pop()
        if name in looked_for:
            continue
        looked_for.add(name)
        for path in _paths(name):
            text = read(path)
            if text is not None and path not in found:
                found[path] = text
                waiting += _imported(text, name, is_package=path.endswith("/__init__.py"))
    return found


def _paths(module: str) -> Iterator[str]:
    """Where it may stand, and the packages that it is in."""
    parts = module.split(".")
    for depth in range(1, len(parts)):
        yield "/".join([*parts[:depth], "__init__.py"])
    yield "/".join(parts) + ".py"
    yield "/".join([*parts, "__init__.py"])


def _imported(text: str, module: str, *, is_package: bool) -> Iterator[str]:
    """What it names in its imports, wherever they stand; a name may be a module or something in one."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = module.split(".")
            above = base[: len(base) - node.level + is_package] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            if origin:
                yield origin
            yield from (f"{origin}.{each.name}" if origin else each.name for each in node.names)


def functions_named(data: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Where the raw data of a policies file names one, and which."""
    tables = data.get("tables") if isinstance(data, dict) else None
    for table, said in tables.items() if isinstance(tables, dict) else ():
        columns = said.get("columns") if isinstance(said, dict) else None
        for column, rule in columns.items() if isinstance(columns, dict) else ():
            path: tuple[str | int, ...] = ("tables", table, "columns", column)
            while isinstance(rule, dict):
                if isinstance(rule.get("python"), str):
                    yield (*path, "python"), rule["python"]
                rule, path = rule.get("then"), (*path, "then")
