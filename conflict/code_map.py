"""A CSV beside the policies: which code of a store is which of the chain's."""

import csv
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

from conflict.policy import CodeMap, KeyPart
from conflict.ranking import Stores
from tillstream.checked_yaml import Document, suggestion
from tillstream.errors import Fault

COLUMNS = ("store", "code", "chain_code")
Normalise = Callable[[str], str | None]


def files_named(data: Any) -> Iterator[str]:
    """The files that a policies document names, found in its raw data."""
    for _, _, name in _named(data):
        yield name


def maps_of(
    document: Document, keys: Mapping[tuple[str, str], KeyPart], stores: Stores | None
) -> tuple[dict[tuple[str, str], CodeMap], list[Fault]]:
    """By (table, column), those that were understood. `keys` are the parts of business keys by the same; of one that is
    not among them nothing is said."""
    found: dict[tuple[str, str], CodeMap] = {}
    faults: list[Fault] = []
    for table, column, name in _named(document.data):
        beside = document.beside.get(name)
        if beside is None or beside.text is None:
            problem = beside.problem if beside else "was not read"
            faults.append(document.fault(("tables", table, "map", column), f"{name}: {problem}"))
        elif (table, column) in keys:
            reading = _Reading(file=beside.shown, normalise=_normaliser(keys[table, column]), stores=stores)
            reading.read(beside.text)
            found[table, column] = reading.map
            faults += reading.faults
    return found, faults


def _named(data: Any) -> Iterator[tuple[str, str, str]]:
    """(table, column, file)."""
    for table, said in _mapping(_mapping(data).get("tables")).items():
        for column, name in _mapping(_mapping(said).get("map")).items():
            if isinstance(name, str) and name:
                yield table, column, name


def _mapping(data: Any) -> Mapping[str, Any]:
    return data if isinstance(data, dict) else {}


def _normaliser(part: KeyPart) -> Normalise:
    from conflict.identity import normalise  # it knows phone numbers, which take time to load

    return lambda text: normalise(part.normaliser, text, part.region)


@dataclass(slots=True, kw_only=True)
class _Reading:
    """One file, line by line."""

    file: str
    normalise: Normalise
    stores: Stores | None
    faults: list[Fault] = field(default_factory=list)
    codes: dict[tuple[str, str], str] = field(default_factory=dict)
    lines: dict[tuple[str, str], int] = field(default_factory=dict)

    def read(self, text: str) -> None:
        if "\0" in text:
            self._refuse(0, "holds a NUL, as no text does; save it as UTF-8")
            return
        rows = csv.reader(StringIO(text, newline=""), strict=True)
        try:
            header = [name.strip() for name in next(rows, [])]
            if self._is_header(header):
                for row in rows:
                    if any(field_.strip() for field_ in row):
                        self._row(rows.line_num, header, row)
        except csv.Error as error:
            self._refuse(rows.line_num, f"this is not CSV ({error}); look at the quotes here and just above")

    @property
    def map(self) -> CodeMap:
        entries = sorted([store, code, chain] for (store, code), chain in self.codes.items())
        digest = hashlib.sha256(json.dumps(entries, ensure_ascii=True).encode()).hexdigest()
        return CodeMap(digest=digest, codes=self.codes, notes=tuple(self._notes()))

    def _is_header(self, header: list[str]) -> bool:
        missing = [name for name in COLUMNS[1:] if name not in header]
        unknown = [name for name in header if name not in COLUMNS]
        if missing:
            self._refuse(1, f"lacks the column {' and '.join(missing)}; its first line must be {','.join(COLUMNS)}, or "
                            "without store where codes mean the same in every store")  # fmt: skip
        for name in unknown:
            self._refuse(1, f'"{name}" is not a column of a map{suggestion(name, COLUMNS)}')
        if len(set(header)) < len(header):
            self._refuse(1, "names a column twice")
        return not missing and not unknown and len(set(header)) == len(header)

    def _row(self, line: int, header: list[str], row: list[str]) -> None:
        if len(row) != len(header):
            self._refuse(line, f"has {len(row)} fields where the first line has {len(header)}")
            return
        said = dict(zip(header, row, strict=True))
        store = said.get("store", "").strip()
        if store and self.stores is not None and store not in self.stores:
            near = suggestion(store, self.stores, otherwise=" of tillstream.yaml")
            self._refuse(line, f'"{store}" is not a store{near}')
        code, chain = (self._normalised(line, name, said[name]) for name in COLUMNS[1:])
        if code is None or chain is None:
            return
        place = (store, code)
        if self.codes.get(place, chain) != chain:
            of = f" of store {store}" if store else ""
            self._refuse(
                line, f'the code "{code}"{of} is "{self.codes[place]}" in line {self.lines[place]} and "{chain}" here'
            )
            return
        self.codes[place] = chain
        self.lines.setdefault(place, line)

    def _normalised(self, line: int, name: str, text: str) -> str | None:
        found = self.normalise(text)
        if found is None:
            self._refuse(line, f'"{text}" is no {name}' if text.strip() else f"{name} is empty")
        return found

    def _notes(self) -> Iterator[str]:
        for (store, code), chain in self.codes.items():
            further = self.codes.get((store, chain), self.codes.get(("", chain), chain))
            if further != chain and code != chain:
                yield (
                    f'{self.file}:{self.lines[store, code]}: "{code}" becomes "{chain}" and stays that, though the '
                    f'code "{chain}" becomes "{further}": a code is looked up once'
                )

    def _refuse(self, line: int, message: str) -> None:
        self.faults.append(Fault(file=self.file, line=line, path="", message=message))
