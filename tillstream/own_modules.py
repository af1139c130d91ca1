"""The modules of one's own that the functions of a policies file are in, where they stand beside it."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from conflict.functions import functions_named, modules_of
from conflict.policy import Policy
from conflict.policy_file import parse_policy
from conflict.ranking import Stores
from tillstream.checked_yaml import Document, Steps
from tillstream.errors import ConfigError


def read_policy(document: Document, stores: Stores | None) -> Policy:
    """The policy of a file, with the text of its modules: who is to decide by it needs no file any more. ConfigError
    with every fault."""
    return parse_policy(document, stores, _modules_beside(document))


def _modules_beside(document: Document) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for place, written in functions_named(document.data):
        found |= modules_of(written.partition(":")[0], partial(_text, document, place))
    return found


def _text(document: Document, place: Steps, path: str) -> str | None:
    """None where there is no such file."""
    file = Path(document.directory, path)
    if not file.is_file():
        return None
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        why = "is not UTF-8 text; save it as UTF-8"
    except OSError as error:
        why = f"cannot be read: {error.strerror}"
    raise ConfigError([document.fault(place, f"{path} {why}")])
