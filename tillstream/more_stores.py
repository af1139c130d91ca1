"""One more store in tillstream.yaml, everything else left as a person wrote it."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tillstream.checked_yaml import load
from tillstream.config import REMEDY, load_config, parse_config
from tillstream.errors import ConfigError, RefusedError

BY_HAND = "add the store by hand, as a line below the others"


def with_store(path: Path, entry: Mapping[str, Any]) -> None:
    """Write it in. ConfigError where the file would be faulty then, or is already; the file is left alone then."""
    load_config(path)
    text = path.read_text(encoding="utf-8")
    line, indent = _place(path, text)
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    lines.insert(line, f"{' ' * indent}- {_flow(entry)}\n")
    draft = path.with_name(f"{path.name}.draft")
    draft.write_text("".join(lines), encoding="utf-8")
    try:
        parse_config(load(draft, remedy=REMEDY))
    except ConfigError as error:
        draft.unlink()
        raise RefusedError(f"{path} is left as it is: {str(error).replace(draft.name, path.name)}") from None
    draft.chmod(path.stat().st_mode)
    os.replace(draft, path)


def _place(path: Path, text: str) -> tuple[int, int]:
    """Below which line the store goes, and how far it is indented."""
    document = yaml.compose(text)
    assert isinstance(document, yaml.MappingNode)
    stores = next(value for key, value in document.value if key.value == "stores")
    if not isinstance(stores, yaml.SequenceNode) or stores.flow_style or not stores.value:
        raise RefusedError(f"{path}: `stores` is not written as a list with one store a line; {BY_HAND}")
    last = stores.value[-1].end_mark
    # the end of a block lies where the next thing begins: go back over comments and empty lines
    lines = text.splitlines()
    at = last.line if last.column == 0 else last.line + 1
    while at > 0 and (not lines[at - 1].strip() or lines[at - 1].lstrip().startswith("#")):
        at -= 1
    return at, stores.start_mark.column


def _flow(entry: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{key}: {_value(value)}" for key, value in entry.items()) + "}"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return _flow(value)
    plain = isinstance(value, str) and value.replace("-", "").replace(".", "").replace("_", "").isalnum()
    if plain and yaml.safe_load(value) == value:
        return str(value)
    return json.dumps(value, ensure_ascii=False)
