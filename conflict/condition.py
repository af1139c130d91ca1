"""`when:` of a rule: which rows it looks at."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from conflict.expression import STORE, ExpressionError, KindError, parsed
from conflict.ranking import Stores, attribute
from conflict.resolution import Contribution
from tillstream.errors import UndecidableError

Said = tuple[tuple[str, Any], ...]  # (store, what tillstream.yaml says of it)


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    text: str
    columns: tuple[tuple[str, str], ...]  # (as the policy writes it, as rows have it)
    attributes: tuple[tuple[str, Said], ...]  # of those that it names

    def holds(self, column: str, row: Contribution) -> bool:
        """Whether it is true of the row; what the row has not is unknown. UndecidableError where nobody can tell."""
        said = {f"{STORE}.{name}": dict(of_store).get(row.store) for name, of_store in self.attributes}
        values = {written: row.values[name] if name in row.columns else None for written, name in self.columns}
        try:
            return parsed(self.text).holds({**said, **values, f"{STORE}.id": row.store})
        except (KindError, ArithmeticError) as error:
            raise UndecidableError(column, f"when: {self.text}: in the row of store {row.store} {error}") from None

    def renamed(self, rename: Callable[[str], str]) -> "Condition":
        return replace(self, columns=tuple((written, rename(name)) for written, name in self.columns))


def condition_of(text: str, stores: Stores | None) -> Condition:
    """ExpressionError where it cannot be read, ValueError where no store has an attribute that it names.

    Without `stores` nothing is said of any.
    """
    read = parsed(text)
    return Condition(
        text=text,
        columns=tuple((name, name) for name in read.columns),
        attributes=tuple((name, _said(name, stores)) for name in read.attributes),
    )


def _said(name: str, stores: Stores | None) -> Said:
    if stores is None:
        return ()
    return tuple(sorted((store, _exact(value)) for store, value in attribute(name, stores).items()))


def _exact(value: Any) -> Any:
    """Whole or not, a number is the same one whether the file or the warehouse tells it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return Decimal(repr(float(value))) if isinstance(value, float) else Decimal(value)


def fingerprinted(condition: Condition) -> list[Any]:
    said = [[name, [[store, str(value)] for store, value in of_store]] for name, of_store in condition.attributes]
    return [condition.text, said]


def columns_named(text: Any) -> tuple[str, ...]:
    """None of what cannot be read."""
    try:
        return parsed(text).columns if isinstance(text, str) else ()
    except ExpressionError:
        return ()


def met(condition: Condition, column: str, rows: Sequence[Contribution]) -> list[Contribution]:
    """In one order, so that of several rows of which nobody can tell the same one is named."""
    return [row for row in sorted(rows, key=lambda each: (each.store, each.pk)) if condition.holds(column, row)]
