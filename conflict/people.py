"""What a person has decided of a value: a contribution beside those of the stores, for the rule `review`."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from conflict.resolution import Contribution

PEOPLE = "people"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision(Contribution):
    """Of one column; its value is text, as the warehouse casts it."""

    author: str
    reason: str
    seen: str | None  # the fingerprint of the values it was made on; None: it holds whatever they are
    until_us: int | None  # when it is to end; that it has is for whoever hands it over to say


def decision(
    column: str, value: str | None, *, author: str, reason: str, seen: str | None, until_us: int | None = None
) -> Decision:
    return Decision(
        store=PEOPLE, pk=column, position=(), changed_us=0, deleted=False, columns=frozenset({column}),
        values={column: value}, stamps={}, author=author, reason=reason, seen=seen, until_us=until_us,
    )  # fmt: skip


def apart(contributions: Iterable[Contribution]) -> tuple[list[Contribution], dict[str, Decision]]:
    """The stores' rows, and by column what people decided."""
    rows: list[Contribution] = []
    decisions: dict[str, Decision] = {}
    for each in contributions:
        if isinstance(each, Decision):
            decisions[each.pk] = each
        else:
            rows.append(each)
    return rows, decisions


def fingerprint(column: str, rows: Sequence[Contribution]) -> str:
    """Of the values that stores have: the same values are the same question, whoever changed what else."""
    facts = sorted([each.store, each.pk, repr(each.values[column])] for each in rows if column in each.columns)
    return hashlib.sha256(json.dumps([column, facts], ensure_ascii=False).encode()).hexdigest()
