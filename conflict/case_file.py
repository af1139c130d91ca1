"""`tests:` of policies.yaml: rows that stores have, and the central rows that these are to make."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, model_validator

from conflict.cases import Case, ExpectedRow, GivenRow
from conflict.ranking import Stores
from tillstream.checked_yaml import Entry, suggestion

MOST_DIGITS = 15  # what YAML's numbers with a fraction keep
Name = Annotated[str, Field(min_length=1)]


def known_store(store: str, info: ValidationInfo) -> str:
    known: Stores | None = (info.context or {}).get("stores")
    if known is not None and store not in known:
        near = suggestion(store, known, otherwise=" of tillstream.yaml")
        raise ValueError(f'"{store}" is not a store{near}')
    return store


def _time_us(given: Any) -> int:
    """UTC, where it names no zone."""
    if isinstance(given, str):
        try:
            given = datetime.fromisoformat(given)
        except ValueError:
            given = None
    if isinstance(given, date) and not isinstance(given, datetime):
        given = datetime(given.year, given.month, given.day)
    if not isinstance(given, datetime):
        raise ValueError("must be a time, such as 2026-01-01 12:00:00")
    since = (given if given.tzinfo else given.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _times_us(given: Any) -> dict[str, int]:
    """Of the columns named; "" of all others."""
    if isinstance(given, Mapping):
        return {str(column): _time_us(at) for column, at in given.items()}
    return {"": _time_us(given)}


TimeForm = str | dict[str, str]
Times = Annotated[dict[str, int], BeforeValidator(_times_us, json_schema_input_type=TimeForm)]


class _Row(BaseModel):
    """Columns by name, beside what begins with _ and says more of the row."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="after")
    def _plain_columns(self) -> "_Row":
        known = [field.alias for field in type(self).model_fields.values() if field.alias]
        for column, value in (self.model_extra or {}).items():
            if column.startswith("_"):
                raise ValueError(f'"{column}" is not known here{suggestion(column, known)}')
            _plain(column, value)
        return self

    @property
    def values(self) -> dict[str, Any]:
        return {column: _plain(column, value) for column, value in (self.model_extra or {}).items()}


class GivenEntry(_Row):
    store: Annotated[Name, AfterValidator(known_store)] = Field(description="Whose row it is.")
    at: Times = Field(default={}, alias="_at", description="When it was last changed, UTC; or {column: time}.")
    since: Times = Field(default={}, alias="_since", description="Since when there has been a value, for earliest.")
    row: str | int = Field(default=1, alias="_row", description="Which of the store's rows, where it has several.")
    deleted: bool = Field(default=False, alias="_deleted", description="The store has deleted it, at `_at`.")
    snapshot: bool = Field(
        default=False, alias="_snapshot", description="Never seen changing; `_at` is the POS's own time, if any."
    )


class ExpectedEntry(_Row):
    winners: dict[str, str] | None = Field(default=None, alias="_winners", description="Column: store.")
    contested: list[str] | None = Field(default=None, alias="_contested", description="Columns, in any order.")
    uncertain: list[str] | None = Field(default=None, alias="_uncertain", description="Columns, in any order.")


class CaseEntry(Entry):
    name: Name = Field(description="What is to be so, as a sentence.")
    given: dict[Name, list[GivenEntry]] = Field(description="By shared table: the stores' rows, the oldest first.")
    expect: dict[Name, list[ExpectedEntry]] = Field(
        description="By shared table: all central rows that these make; only the columns named are looked at."
    )

    def value(self, line: int) -> Case:
        return Case(
            name=self.name,
            line=line,
            given={table: tuple(map(_given, rows)) for table, rows in self.given.items()},
            expected={table: tuple(map(_expected, rows)) for table, rows in self.expect.items()},
        )


def _given(entry: GivenEntry) -> GivenRow:
    return GivenRow(
        store=entry.store, row=str(entry.row), values=entry.values, at_us=entry.at, since_us=entry.since,
        deleted=entry.deleted, snapshot=entry.snapshot,
    )  # fmt: skip


def _expected(entry: ExpectedEntry) -> ExpectedRow:
    return ExpectedRow(
        values=entry.values,
        winners=entry.winners,
        contested=None if entry.contested is None else frozenset(entry.contested),
        uncertain=None if entry.uncertain is None else frozenset(entry.uncertain),
    )


def _plain(column: str, value: Any) -> Any:
    """Numbers as the warehouse has them, exact; times as text."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return Decimal(value)
    if isinstance(value, float):
        number = Decimal(repr(value))
        if not number.is_finite() or len(number.as_tuple().digits) > MOST_DIGITS:
            raise ValueError(f"{column}: YAML does not keep all digits of this number; put it in quotes")
        return number
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, date):
        return value.isoformat()
    raise ValueError(f"{column} must be one value, not a list or a mapping")
