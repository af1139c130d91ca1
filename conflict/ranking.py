"""Stores ranked by what tillstream.yaml says of them: a number, a word with an order, or the distance to a store."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from tillstream.checked_yaml import suggestion

Stores = Mapping[str, Mapping[str, Any]]  # store id → its attributes; `location` (latitude, longitude) among them
Ranks = tuple[tuple[str, ...], ...]  # best first; equal ones stand together

DISTANCE = "distance_to_"
EARTH_METRES = 6_371_009  # mean radius


def ranks_by(by: str, order: Sequence[str], stores: Stores) -> Ranks:
    """Stores without the attribute are not ranked. ValueError where none has it, or its values have no order."""
    if by.startswith(DISTANCE):
        return _ranks(_distances(by.removeprefix(DISTANCE), stores))
    given = attribute(by, stores)
    if order:
        best_first = {value: rank for rank, value in enumerate(order)}
        return _ranks((best_first[str(value)], store) for store, value in given.items() if str(value) in best_first)
    if any(isinstance(value, str) for value in given.values()):
        raise ValueError(f"the stores' {by} are words: say with `order`, best first, which come before which")
    return _ranks((value, store) for store, value in given.items())


def attribute(name: str, stores: Stores) -> dict[str, Any]:
    """What each store that has it says. ValueError where none has it."""
    given = {store: said[name] for store, said in stores.items() if name in said and name != "location"}
    if not given:
        known = {known for said in stores.values() for known in said if known != "location"}
        near = suggestion(name, sorted(known), otherwise="; give them one under `attributes` in tillstream.yaml")
        raise ValueError(f'no store has the attribute "{name}"{near}')
    return given


def _distances(centre: str, stores: Stores) -> list[tuple[int, str]]:
    if centre not in stores:
        near = suggestion(centre, stores, otherwise=" of tillstream.yaml")
        raise ValueError(f'"{centre}" is not a store{near}')
    if (here := stores[centre].get("location")) is None:
        raise ValueError(f"store {centre} has no `location: [latitude, longitude]` in tillstream.yaml")
    return [(metres(here, there), store) for store, said in stores.items() if (there := said.get("location"))]


def metres(one: Sequence[float], other: Sequence[float]) -> int:
    """Along a great circle. Whole metres: what is less than that apart is at one place."""
    (lat1, lon1), (lat2, lon2) = (tuple(map(math.radians, each)) for each in (one, other))
    half = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return round(2 * EARTH_METRES * math.asin(min(1.0, math.sqrt(half))))


def _ranks(ranked: Iterable[tuple[Any, str]]) -> Ranks:
    by_rank = groupby(sorted(ranked), key=lambda each: each[0])
    return tuple(tuple(store for _, store in equals) for _, equals in by_rank)
