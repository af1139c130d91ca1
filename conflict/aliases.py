"""Business keys that a person said are one, and which of them stands for all."""

from collections import defaultdict
from collections.abc import Iterable


def canonical_keys(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Key → the key it counts under, without those that count under themselves. A pair (a, b) says: b counts under a.

    A function of the set of pairs, whatever their order. Of keys that hang together it is the one that was said to
    count under none; of several such, or where there is none, the smallest.
    """
    beside: dict[str, set[str]] = defaultdict(set)
    under_another = set()
    for key, other in pairs:
        beside[key].add(other)
        beside[other].add(key)
        under_another.add(other)
    found: dict[str, str] = {}
    seen: set[str] = set()
    for key in beside:
        if key not in seen:
            group = _connected(key, beside)
            seen |= group
            canonical = min(group - under_another or group)
            found.update((each, canonical) for each in group if each != canonical)
    return found


def _connected(key: str, beside: dict[str, set[str]]) -> set[str]:
    group: set[str] = set()
    waiting = [key]
    while waiting:
        if (each := waiting.pop()) not in group:
            group.add(each)
            waiting.extend(beside[each])
    return group
