"""`tests:` of policies.yaml: rows that stores have, and the central rows that these are to make."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, model_validator

from conflict.cases import Case, ExpectedRow, GivenRow, time_us
from conflict.policy import REST
from conflict.ranking import Stores
from tillstream.checked_yaml import Entry, WrittenNumber, suggestion

Name = Annotated[str, Field(min_length=1)]


def _known_store(store: str, info: ValidationInfo) -> str:
    known: Stores | None = (info.context or {}).get("stores")
    if known is not None and store not in known:
        near = suggestion(store, known, otherwise=" of tillstream.yaml")
        raise ValueError(f'"{store}" is not a store{near}')
    return store


StoreId = Annotated[Name, AfterValidator(_known_store)]


def _value(given: Any) -> Any:
    """As the warehouse has it: numbers exact. Times are compared as text."""
    if given is None or isinstance(given, str | bool):
        return given
    if isinstance(given, int):
        return Decimal(given)
    if isinstance(given, WrittenNumber):
        return Decimal(given.text)
    if isinstance(given, datetime):
        return given.isoformat(sep=" ")
    if isinstance(given, date):
        return given.isoformat()
    raise ValueError("must be one value: text, a number, a time, true, false or null")


Value = Annotated[Any, BeforeValidator(_value, json_schema_input_type=str | int | float | bool | None)]


def _time_us(given: Any) -> int:
    try:
        at_us = time_us(given)
    except ValueError:
        raise ValueError("must be a time, such as 2026-01-01 12:00:00") from None
    if at_us < 0:
        raise ValueError("must be after 1970, as a store's changes are")
    return at_us


Moment = Annotated[int, BeforeValidator(_time_us, json_schema_input_type=str)]  # in us


def _times_us(given: Any) -> dict[str, int]:
    """Of the columns named; "" of all others."""
    if isinstance(given, Mapping):
        return {"" if column == REST else column: _time_us(at) for column, at in given.items()}
    return {"": _time_us(given)}


def _deletion(given: Any) -> bool | int:
    return given if isinstance(given, bool) else _time_us(given)


Times = Annotated[dict[str, int], BeforeValidator(_times_us, json_schema_input_type=str | dict[str, str])]
Deletion = Annotated[bool | int, BeforeValidator(_deletion, json_schema_input_type=bool | str)]


def _no_other_words(schema: dict[str, Any]) -> None:
    """For editors: what begins with _ is one of the row's own words."""
    words = "|".join(word for word in schema["properties"] if word.startswith("_"))
    schema["propertyNames"] = {"pattern": f"^([^_]|({words})$)"}


class _Row(BaseModel):
    """Columns by name, beside what begins with _ and says more of the row."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True, json_schema_extra=_no_other_words)
    __pydantic_extra__: dict[str, Value]

    @property
    def values(self) -> dict[str, Any]:
        return dict(self.__pydantic_extra__)


class GivenEntry(_Row):
    store: StoreId = Field(description="Whose row it is.")
    at: Times = Field(
        default={}, alias="_at", description='When it was changed, UTC; or {column: time}, "*" for the rest.'
    )
    since: Times = Field(
        default={},
        alias="_since",
        description="Since when it was there, if it was changed later; or {column: time}. "
        "For earliest and `deletes: any`.",
    )
    deleted: Deletion = Field(
        default=False, alias="_deleted", description="The store has deleted it: true, with its last change; or a time."
    )
    snapshot: bool = Field(
        default=False,
        alias="_snapshot",
        description="It was there when the store was first read; only what `_at` names was seen changing since.",
    )

    opening: dict[str, Value] = Field(
        default={},
        alias="_opening",
        description="{column: what it had at the opening}, if it was changed since. For sum_of_changes.",
    )

    @model_validator(mode="after")
    def _means_something(self) -> "GivenEntry":
        if self.snapshot and ("" in self.at or self.since):
            raise ValueError(
                "a `_snapshot` row was there before anyone looked, and its time is that of the column `changed_at`, if "
                "any; `_at: {column: time}` says what was seen changing since"
            )
        for word, columns in (("_at", self.at), ("_since", self.since), ("_opening", self.opening)):
            for column in sorted(columns.keys() - self.values.keys() - {""}):
                raise ValueError(f'`{word}` names "{column}", which the row has not{suggestion(column, self.values)}')
        return self

    def value(self) -> GivenRow:
        return GivenRow(
            store=self.store,
            values=self.values,
            at_us=self.at,
            since_us=self.since,
            deleted=self.deleted is not False,
            deleted_us=None if isinstance(self.deleted, bool) else self.deleted,
            snapshot=self.snapshot,
            openings=self.opening,
        )


class ExpectedEntry(_Row):
    winners: dict[str, StoreId] | None = Field(default=None, alias="_winners", description="Column: store.")
    contested: list[str] | None = Field(default=None, alias="_contested", description="Columns, in any order.")
    uncertain: list[str] | None = Field(default=None, alias="_uncertain", description="Columns, in any order.")

    def value(self) -> ExpectedRow:
        return ExpectedRow(
            values=self.values,
            winners=self.winners,
            contested=_columns(self.contested),
            uncertain=_columns(self.uncertain),
        )


def _columns(named: Iterable[str] | None) -> frozenset[str] | None:
    return None if named is None else frozenset(named)


class CaseEntry(Entry):
    name: Name = Field(description="What is to be so, as a sentence.")
    given: dict[Name, list[GivenEntry]] = Field(
        min_length=1, description="By shared table: the stores' rows, the first changed one first."
    )
    expect: dict[Name, list[ExpectedEntry]] = Field(
        min_length=1,
        description="By shared table: all central rows that these make; only the columns named are looked at.",
    )

    def value(self, line: int) -> Case:
        return Case(
            name=self.name,
            line=line,
            given={table: tuple(row.value() for row in rows) for table, rows in self.given.items()},
            expected={table: tuple(row.value() for row in rows) for table, rows in self.expect.items()},
        )
