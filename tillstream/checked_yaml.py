"""YAML that a person wrote, read so that every fault can name its line.

Each fault of a file is found in one go, in plain words, with what is allowed. No text from the file is
repeated where a password may stand: PyYAML's own messages and pydantic's inputs are never passed on.
"""

import difflib
import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import reduce
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from tillstream.errors import ConfigError, Fault

Steps = tuple[str | int, ...]  # ("stores", 2, "id") is written stores[2].id

LIKENESS = 0.7  # at difflib's own 0.6 "lowest" would be answered with "latest"

_YAML = "tag:yaml.org,2002:"
_SCALARS = frozenset(_YAML + name for name in ("null", "bool", "int", "float", "str", "timestamp"))
_NUMBERS = frozenset(_YAML + name for name in ("int", "float"))
_ODD_NUMBER = re.compile(r"[-+]?0[0-9xbo]|.*[:_]")  # 0012 is 10, 12:30 is 750, 1_0 is 10


class WrittenNumber(float):
    """A number with a fraction that keeps how it is written: a float loses digits."""

    text: str


_UNITS_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration_seconds(given: Any) -> float:
    """Of `10m` and the like; ValueError for anything else."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smhd])", given) if isinstance(given, str) else None
    if match is None:
        raise ValueError("must be a duration with its unit, such as 30s, 10m, 2h or 1d")
    return float(match[1]) * _UNITS_SECONDS[match[2]]


DurationText = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?[smhd]$")]
Duration = Annotated[float, BeforeValidator(duration_seconds, json_schema_input_type=DurationText)]


class Entry(BaseModel):
    """Base of everything read from YAML: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


EntryT = TypeVar("EntryT", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """Another file that a document names."""

    shown: str  # as faults name it
    text: str | None  # None where it cannot be read
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A file as plain data, and where each part of it stands."""

    file: str  # as faults name it
    directory: Path  # absolute; what relative paths inside the file are relative to
    data: Any = field(repr=False)  # repr could show a password
    faults: tuple[Fault, ...]  # YAML that parses but is ambiguous, such as a key given twice
    root: yaml.Node = field(repr=False, compare=False)
    text: str = field(repr=False, compare=False)
    beside: Mapping[str, Beside] = field(default_factory=dict, repr=False, compare=False)  # by name, as written

    def line_of(self, path: Steps) -> int:
        """The 1-based line of the deepest part of `path` that stands in the file."""
        return self._deepest(path)[1]

    def fault(self, path: Steps, message: str) -> Fault:
        return Fault(file=self.file, line=self.line_of(path), path=dotted(path), message=message)

    def standing(self, path: Steps) -> Steps:
        """As much of `path` as stands in the file: a short form has no node for what it is short for."""
        return path[: self._deepest(path)[0]]

    def _deepest(self, path: Steps) -> tuple[int, int]:
        node, line = self.root, self.root.start_mark.line + 1
        for depth, step in enumerate(path):
            inner = _child(node, step)
            if inner is None:
                return depth, line
            line, node = inner
        return len(path), line


def dotted(path: Steps) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def load(
    path: Path,
    *,
    remedy: str = "create it or correct the path",
    files_named: Callable[[Any], Iterable[str]] = lambda data: (),
) -> Document:
    """Read a YAML file; ConfigError if it is missing, empty or not YAML. `remedy` says what to do then.

    `files_named` finds in its data which other files belong to it; their paths are relative to it.
    """
    shown = shown_path(path)
    document = _document(_text(path, shown, remedy), shown, path.resolve().parent, remedy)
    beside = {name: _read_beside(document.directory / name) for name in set(files_named(document.data))}
    return replace(document, beside=beside)


def shown_path(path: Path) -> str:
    """As faults name it: from the working directory, where it is below that."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def parse(text: str, shown: str, beside: Mapping[str, str] = MappingProxyType({})) -> Document:
    """YAML that stands in no file any more, with the texts of those it names; `shown` is what its faults call it."""
    texts = {name: Beside(shown=f"{shown}, {name}", text=kept) for name, kept in beside.items()}
    return replace(_document(text, shown, Path.cwd(), "it was kept empty"), beside=texts)


def _read_beside(path: Path) -> Beside:
    shown = shown_path(path)
    try:
        return Beside(shown=shown, text=_text(path, shown, "create it or correct the path"))
    except ConfigError as error:
        return Beside(shown=shown, text=None, problem=error.faults[0].message)


def _document(text: str, shown: str, directory: Path, remedy: str) -> Document:
    try:
        root, reading = _compose(text, shown, remedy)
        data = reading.value(root, ())
    except yaml.YAMLError as error:
        fault = _syntax_fault(shown, text, error)
    except RecursionError:
        fault = _whole(shown, "the file is nested too deeply to be read")
    else:
        return Document(file=shown, directory=directory, data=data, faults=tuple(reading.faults), root=root, text=text)
    raise ConfigError([fault])  # out here, so that no chained exception carries the file's text


def validate(
    document: Document,
    model: type[EntryT],
    *,
    further: Iterable[Fault] = (),
    context: Mapping[str, object] | None = None,
) -> EntryT:
    """The document as `model`; ConfigError with every fault, those in `further` included, in line order."""
    faults = [*document.faults, *further]
    try:
        entry = model.model_validate(document.data, context=context)
    except ValidationError as error:
        details = _without_echoes(error.errors(include_url=False))
        noted = {fault.path for fault in document.faults}  # what stands there was not read
        found = (_plain_fault(document, model, detail) for detail in details)
        faults += [fault for fault in found if fault.path not in noted]
    else:
        if not faults:
            return entry
    raise ConfigError(sorted(faults, key=lambda fault: (fault.line, fault.path)))


def json_schema(model: type[BaseModel], *, title: str) -> dict[str, Any]:
    """JSON Schema draft-07, which is what editors' YAML plugins understand."""
    schema = _draft_07(model.model_json_schema(ref_template="#/definitions/{model}"))
    return {"$schema": "http://json-schema.org/draft-07/schema#", **schema, "title": title}


def suggestion(word: str, allowed: Iterable[str], *, otherwise: str | None = None) -> str:
    """'; did you mean "sum"?' or, where nothing is near, `otherwise` or all that is allowed."""
    names = list(allowed)
    near = difflib.get_close_matches(word, names, n=1, cutoff=LIKENESS)
    if near:
        return f'; did you mean "{near[0]}"?'
    if otherwise is not None:
        return otherwise
    return f"; allowed: {', '.join(names)}" if names else ""


# --- from text to nodes to data ---------------------------------------------------------------------------


def _text(path: Path, shown: str, remedy: str) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        message = f"there is no such file; {remedy}"
    except OSError as error:
        message = f"cannot be read: {error.strerror}; {remedy}"
    except UnicodeDecodeError:
        message = "is not UTF-8 text; save it as UTF-8"
    raise ConfigError([_whole(shown, message)])


def _compose(text: str, shown: str, remedy: str) -> tuple[yaml.Node, "_Reading"]:
    loader = yaml.SafeLoader(text)
    root = loader.get_single_node()
    if root is None or root.tag == _YAML + "null":
        raise ConfigError([_whole(shown, f"the file is empty; {remedy}")])
    return root, _Reading(file=shown, loader=loader)


def _whole(shown: str, message: str) -> Fault:
    return Fault(file=shown, line=0, path="", message=message)


@dataclass(slots=True, kw_only=True)
class _Reading:
    """Nodes to plain data, noting on the way what YAML lets pass and a person did not mean."""

    file: str
    loader: yaml.SafeLoader
    faults: list[Fault] = field(default_factory=list)
    done: dict[int, Any] = field(default_factory=dict)  # by node: an alias is read once, however often used
    open: set[int] = field(default_factory=set)

    def value(self, node: yaml.Node, path: Steps) -> Any:
        if id(node) in self.open:
            return self.refuse(node, path, "an anchor may not stand inside itself")
        if id(node) not in self.done:
            self.open.add(id(node))
            self.done[id(node)] = self.fresh(node, path)
            self.open.discard(id(node))
        return self.done[id(node)]

    def fresh(self, node: yaml.Node, path: Steps) -> Any:
        if isinstance(node, yaml.MappingNode) and node.tag == _YAML + "map":
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == _YAML + "seq":
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and node.tag in _SCALARS:
            return self.scalar(node, path)
        return self.refuse(node, path, "a value that begins with ! is read as a YAML tag; put it in quotes")

    def mapping(self, node: yaml.MappingNode, path: Steps) -> dict[str, Any]:
        data: dict[str, Any] = {}
        first_line: dict[str, int] = {}
        for key_node, value_node in node.value:
            key = self.key(key_node, path)
            if key is None:
                continue
            if key in data:
                message = f'"{key}" stands here a second time; the first is in line {first_line[key]}'
                self.refuse(key_node, (*path, key), message)
                continue
            first_line[key] = key_node.start_mark.line + 1
            data[key] = self.value(value_node, (*path, key))
        return data

    def key(self, node: yaml.Node, path: Steps) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            self.refuse(node, path, "a key must be plain text; a value that begins with { or [ needs quotes")
            return None
        if node.tag == _YAML + "merge":
            self.refuse(node, path, 'merging with "<<" is not supported; write the keys out')
            return None
        if node.tag != _YAML + "str":
            self.refuse(node, path, f"YAML reads a key here as {_kind_of_tag(node.tag)}; put it in quotes")
        return str(node.value)

    def scalar(self, node: yaml.ScalarNode, path: Steps) -> Any:
        if node.tag in _NUMBERS and _ODD_NUMBER.match(node.value):
            message = "YAML reads this as another number than it looks like; put it in quotes or write it plainly"
            return self.refuse(node, path, message)
        try:
            value = self.loader.construct_object(node)
        except (ValueError, KeyError, TypeError):  # such as the date 2026-02-31
            kind = _kind_of_tag(node.tag)
            return self.refuse(node, path, f"looks like {kind} but is none; correct it or put it in quotes")
        if isinstance(value, float) and math.isfinite(value):
            value = WrittenNumber(value)
            value.text = node.value
        return value

    def refuse(self, node: yaml.Node, path: Steps, message: str) -> None:
        line = node.start_mark.line + 1
        self.faults.append(Fault(file=self.file, line=line, path=dotted(path), message=message))


def _child(node: yaml.Node, step: str | int) -> tuple[int, yaml.Node] | None:
    """The line to name and the node: a mapping's value is named by its key's line, where the eye looks."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value == step:
                return key.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step].start_mark.line + 1, node.value[step]
    return None


_KINDS = {
    "null": "nothing",
    "bool": "true or false",
    "int": "a number",
    "float": "a number",
    "timestamp": "a date",
}


def _kind_of_tag(tag: str) -> str:
    return _KINDS.get(tag.removeprefix(_YAML), "something else than text")


# PyYAML's problem texts quote the file (an alias' name may be a password that begins with *), so they are
# translated by how they begin, and what is not listed gets the last sentence.
_SYNTAX = {
    "found character '\\t'": "a tab cannot indent; use spaces",
    "found character": "a value cannot begin with this character; put it in quotes",
    "found undefined alias": "a value that begins with * is read as an alias; put it in quotes",
    "found unexpected end of stream": "a quote or a bracket that was opened is never closed",
    "while scanning a quoted": "a quote that was opened is never closed",
    "mapping values are not allowed": "there is a ':' too many, or the indentation differs from above",
    "could not find expected ':'": "a ':' is missing after a key, here or in the line above",
    "expected <block end>": "the indentation differs from the lines above, or '-' is missing",
    "expected ','": "a ',' or a closing bracket is missing",
    "but found another document": "a second document begins here; one file holds one",
}


def _syntax_fault(shown: str, text: str, error: yaml.YAMLError) -> Fault:
    problem, line = "", 0
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        problem, line = error.problem or "", mark.line + 1 if mark else 0
    elif isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        problem = "an unprintable character stands here"
        return Fault(file=shown, line=line, path="", message=f"{problem}; remove it")
    words = next((plain for start, plain in _SYNTAX.items() if problem.startswith(start)), None)
    message = words or "this is not YAML; look at quotes, brackets and indentation here and just above"
    return Fault(file=shown, line=line, path="", message=message)


# --- from pydantic's errors to plain words ----------------------------------------------------------------


def _without_echoes(details: list[ErrorDetails]) -> list[ErrorDetails]:
    """A list whose every item is faulty counts as too short for pydantic; the items' faults are enough."""
    above = {detail["loc"][:depth] for detail in details for depth in range(len(detail["loc"]))}
    return [detail for detail in details if detail["type"] != "too_short" or detail["loc"] not in above]


def _plain_fault(document: Document, model: type[BaseModel], detail: ErrorDetails) -> Fault:
    steps = detail["loc"]
    message = _plain_words(model, detail)
    return document.fault(steps if detail["type"] == "missing" else document.standing(steps), message)


_WORDS = {
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "path_type": "must be a path, as text",
    "list_type": "must be a list, such as [a, b]",
    "tuple_type": "must be a list, such as [a, b]",
    "dict_type": "must be a mapping, such as {{name: value}}",
    "model_type": "must be a mapping, such as {{name: value}}",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "value_error": "{error}",
}


def _plain_words(model: type[BaseModel], detail: ErrorDetails) -> str:
    said, steps = detail["type"], detail["loc"]
    if said == "missing":
        return f'"{steps[-1]}" is required here'
    if said == "extra_forbidden":
        return f'"{steps[-1]}" is not known here' + suggestion(str(steps[-1]), _names_at(model, steps[:-1]))
    if said in ("enum", "literal_error"):
        return _unknown_word(model, steps, detail["input"])
    if said == "string_type":
        return _not_text(detail["input"])
    words = _WORDS.get(said)
    return words.format(**detail.get("ctx", {})) if words else detail["msg"]


def _unknown_word(model: type[BaseModel], steps: Steps, given: object) -> str:
    allowed = _choices(_allowed_at(model, steps))
    if not isinstance(given, str):
        return f"must be one of: {', '.join(allowed)}"
    noun = _noun_at(model, steps)
    return f'"{given}" is not {noun}' + suggestion(given, allowed)


def _not_text(given: object) -> str:
    match given:
        case None:
            return "must be text; nothing stands here"
        case list() | dict():
            return "must be text, not a list or a mapping"
        case bool():
            return _quote_it("true or false")
        case int() | float():
            return _quote_it("a number")
    return _quote_it("a date")


def _quote_it(kind: str) -> str:
    return f"must be text, but YAML reads this as {kind}; put it in quotes"


def _allowed_at(model: type[BaseModel], steps: Steps) -> list[Any]:
    """The types that may stand at this place."""
    start: list[Any] = [model]
    return reduce(lambda here, step: [t for one in here for t in _inside(one, step)], steps, start)


def _inside(annotation: Any, step: str | int) -> list[Any]:
    if _is_model(annotation):
        named = _fields(annotation).get(str(step))
        return list(_bare(named.annotation)) if named else []
    arguments = [argument for argument in typing.get_args(annotation) if argument is not Ellipsis]
    return list(_bare(arguments[-1])) if arguments else []  # of dict[str, X], list[X], tuple[X, ...]: X


def _bare(annotation: Any) -> Iterator[Any]:
    """What is left of an annotation without Annotated and unions."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        yield from _bare(typing.get_args(annotation)[0])
    elif origin in (typing.Union, types.UnionType):
        for member in typing.get_args(annotation):
            yield from _bare(member)
    else:
        yield annotation


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    return {info.alias or name: info for name, info in model.model_fields.items()}


def _names_at(model: type[BaseModel], steps: Steps) -> list[str]:
    return sorted(name for one in _allowed_at(model, steps) if _is_model(one) for name in _fields(one))


def _choices(annotations: list[Any]) -> list[str]:
    words: list[str] = []
    for one in annotations:
        if typing.get_origin(one) is Literal:
            words += [str(word) for word in typing.get_args(one)]
        elif isinstance(one, type) and issubclass(one, Enum):
            words += [str(member.value) for member in one]
    return words


def _noun_at(model: type[BaseModel], steps: Steps) -> str:
    """ "a rule" where the field has the title "rule"."""
    for one in _allowed_at(model, steps[:-1]):
        info = _fields(one).get(str(steps[-1])) if _is_model(one) else None
        if info is not None and info.title:
            return f"a {info.title}"
    return "known here"


def _draft_07(schema: Any) -> Any:
    """Draft-07 ignores what stands beside a $ref (a description, a default), so the $ref moves into allOf."""
    if isinstance(schema, list):
        return [_draft_07(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = (each for each in schema.items() if each != ("default", None))  # an editor would write it out
    parts = {("definitions" if key == "$defs" else key): _draft_07(part) for key, part in kept}
    if "$ref" in parts and len(parts) > 1:
        return {"allOf": [{"$ref": parts.pop("$ref")}], **parts}
    return parts
