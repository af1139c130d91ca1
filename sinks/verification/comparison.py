"""One table of one store, compared by value with what the warehouse holds of it, while both may be changing.

Coarse to fine: sums of hashes per chunk, hashes per row of the chunks that differ, then another look at the rows that
differ. Only the last judges, and it judges a row that stood still: nothing that is merely on its way is a difference.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

import msgspec

from sinks.columns import column_type
from sinks.store_session import StoreSession
from sinks.verification.both_sides import BothSides, Content, Row, ShownRow, leads_of
from sinks.verification.differences import Compared, Difference, Kind
from sinks.verification.open_letters import OpenLetters
from sinks.verification.row_forms import SHOWN_CHARACTERS
from tillstream.envelope import TableVersion

ROWS_AT_ONCE = 50_000  # held in memory, of each side
SUSPECTS_AT_ONCE = 10_000
ROUNDS = 5
SAMPLED_ROWS = 10  # of one table of one store

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """Rows that were not the same at first sight: the hash of their key, and how each side finds them."""

    identity: str
    leads: frozenset[int]
    pks: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """Both sides of a suspect as they were seen together; equal sightings mean that nothing moved."""

    store: tuple[Content, ...]
    warehouse: tuple[tuple[str, tuple[int, ...], bool, Content], ...]  # _pk, stamp, deleted, content
    certain: bool = field(compare=False)  # the warehouse had followed, and holds nothing newer than the store's rows
    suspect: Suspect = field(compare=False)

    @property
    def live(self) -> tuple[Content, ...]:
        return tuple(content for _, _, deleted, content in self.warehouse if not deleted)

    @property
    def differs(self) -> bool:
        return Counter(self.store) != Counter(self.live)

    @property
    def kind(self) -> Kind:
        if len(self.store) == len(self.live):
            return Kind.VALUE
        return Kind.MISSING if len(self.store) > len(self.live) else Kind.EXTRA

    @property
    def rows(self) -> int:
        store, live = Counter(self.store), Counter(self.live)
        return max((store - live).total(), (live - store).total())


class Comparison:
    def __init__(self, session: StoreSession, sides: BothSides, version: TableVersion, letters: OpenLetters) -> None:
        self._session, self._sides, self._version, self._letters = session, sides, version, letters
        self._result = Compared(store=version.store, table=version.table)

    def run(self) -> Compared:
        for suspects in _batched(self._suspects(), SUSPECTS_AT_ONCE):
            self._judge(suspects)
        return self._result

    # --- coarse -----------------------------------------------------------------------------------------

    def _suspects(self) -> Iterator[Suspect]:
        for chunks in self._differing_chunks():
            store = _by_identity(self._sides.store_chunks(chunks))
            warehouse = _by_identity(self._sides.warehouse_chunks(chunks))
            for identity in {*store, *warehouse}:
                here, there = store.get(identity, []), warehouse.get(identity, [])
                if Counter(row.content for row in here) != Counter(row.content for row in there):
                    yield self._suspect(identity, here, there)

    def _differing_chunks(self) -> Iterator[list[Any]]:
        """As many at a time as are worth one pass over either side."""
        store, warehouse = self._sides.store_sums(), self._sides.warehouse_sums()
        self._result.rows = sum(count for count, _ in store.values())
        together: list[Any] = []
        rows = 0
        for chunk in sorted({*store, *warehouse}):
            here, there = store.get(chunk, (0, 0)), warehouse.get(chunk, (0, 0))
            # what is compared by value is not in the sums: where there is any, every row is looked at
            if here == there and not self._sides.forms.store.values:
                continue
            if rows + max(here[0], there[0]) > ROWS_AT_ONCE and together:
                yield together
                together, rows = [], 0
            together.append(chunk)
            rows += max(here[0], there[0])
        if together:
            yield together

    def _suspect(self, identity: str, here: Sequence[Row], there: Sequence[Row]) -> Suspect:
        leads = leads_of(self._sides.forms, (*here, *there))
        pks = frozenset((*(row.pk for row in there), *map(self._pk, here)))
        return Suspect(identity=identity, leads=leads, pks=pks)

    def _pk(self, row: Row) -> str:
        """The row's _pk as RowCodec makes it of an event."""
        if not row.key:
            return ""
        kinds = {column.name: column_type(column).warehouse for column in self._version.columns}
        named = zip(self._version.primary_key, row.key, strict=True)
        parts = [_pk_part(kinds[name], str(text)) for name, text in named]
        return parts[0] if len(parts) == 1 else msgspec.json.encode(parts).decode()

    # --- fine -------------------------------------------------------------------------------------------

    def _judge(self, suspects: Sequence[Suspect]) -> None:
        """A difference counts if it is seen twice, unchanged, and the warehouse had followed the store both times."""
        earlier: dict[str, Sighting] = {}
        confirmed: list[Sighting] = []
        differing: list[Sighting] = []
        for _ in range(ROUNDS):
            seen = self._look_again(suspects)
            settled = [each for each in seen if each.certain and earlier.get(each.suspect.identity) == each]
            confirmed += settled
            done = {each.suspect.identity for each in settled}
            differing = [each for each in seen if each.suspect.identity not in done]
            earlier = {each.suspect.identity: each for each in differing if each.certain}
            suspects = [each.suspect for each in differing]
            if not suspects or self._session.is_stalled:
                break
        self._result.in_flux += sum(each.rows for each in differing)
        self._report(confirmed)

    def _look_again(self, suspects: Sequence[Suspect]) -> list[Sighting]:
        """Those that still differ.

        What the store shows between `low` and `follow` is what its log said at `low`, but for rows that the log
        changed since; the warehouse has those changes too by then, and their stamps lie above `low`.
        """
        low = self._session.low()
        identities = {each.identity for each in suspects}
        store = _by_identity(self._sides.store_found(identities, _leads(suspects)))
        epoch = self._session.follow()
        pks = {pk for each in suspects for pk in each.pks}
        warehouse = _by_identity(self._sides.warehouse_found(identities, pks))
        sightings = (
            _sighting(each, store.get(each.identity, []), warehouse.get(each.identity, []), epoch, low)
            for each in suspects
        )
        return [sighting for sighting in sightings if sighting.differs]

    def _report(self, confirmed: Iterable[Sighting]) -> None:
        told = []
        for sighting in confirmed:
            aside = self._letters.cover(sighting.suspect.pks, sighting.kind, sighting.rows)
            self._result.set_aside += aside
            self._result.differences += sighting.rows - aside
            if sighting.rows > aside:
                told.append(sighting)
        told = told[: max(SAMPLED_ROWS - len({each.key for each in self._result.samples}), 0)]
        if told:
            self._result.samples += self._samples(told)

    # --- telling ----------------------------------------------------------------------------------------

    def _samples(self, told: Sequence[Sighting]) -> Iterator[Difference]:
        suspects = [each.suspect for each in told]
        store, warehouse = self._sides.shown({each.identity for each in suspects}, _leads(suspects))
        for sighting in told:
            key = min(sighting.suspect.pks, default="")
            here, there = store.get(sighting.suspect.identity, []), warehouse.get(sighting.suspect.identity, [])
            if sighting.kind is Kind.VALUE and here and there:
                yield from self._values(key, here[0], there[0])
            else:
                yield self._difference(key, "", self._whole(here), self._whole(there), sighting.kind)

    def _values(self, key: str, here: ShownRow, there: ShownRow) -> Iterator[Difference]:
        for at, name in enumerate(self._sides.forms.names):
            if here.exact[at] != there.exact[at]:
                yield self._difference(key, name, here.shown[at], there.shown[at], Kind.VALUE)

    def _whole(self, rows: Sequence[ShownRow]) -> str | None:
        if not rows:
            return None
        named = zip(self._sides.forms.names, rows[0].shown, strict=True)
        text = ", ".join(f"{name}={'NULL' if value is None else value}" for name, value in named)
        return (f"{len(rows)} times " if len(rows) > 1 else "") + text[:SHOWN_CHARACTERS]

    def _difference(self, key: str, column: str, here: str | None, there: str | None, kind: Kind) -> Difference:
        return Difference(
            store=self._version.store,
            table=self._version.table,
            key=key,
            column=column,
            store_value=here,
            warehouse_value=there,
            kind=kind,
        )


def _sighting(
    suspect: Suspect, store: Sequence[Row], warehouse: Sequence[Row], epoch: int | None, low: tuple[int, int]
) -> Sighting:
    return Sighting(
        store=tuple(sorted((row.content for row in store), key=repr)),
        warehouse=tuple(sorted(((row.pk, row.stamp, row.deleted, row.content) for row in warehouse), key=repr)),
        certain=epoch is not None and all(row.stamp[:3] <= (epoch, *low) for row in warehouse),
        suspect=suspect,
    )


def _leads(suspects: Iterable[Suspect]) -> set[int]:
    return {lead for suspect in suspects for lead in suspect.leads}


def _by_identity(rows: Iterable[Row]) -> Mapping[str, list[Row]]:
    found = defaultdict(list)
    for row in rows:
        found[row.identity].append(row)
    return found


def _pk_part(kind: str, text: str) -> str:
    """One part of a key as its decoder renders it; `text` is its `store_text`."""
    if kind == "bytea":
        return str(bytes.fromhex(text))
    if kind == "boolean":
        return str(text == "1")
    if kind == "timestamp":
        return str(datetime.fromisoformat(text))
    if kind == "interval":
        return f"{text} microseconds"
    return text


def _batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
