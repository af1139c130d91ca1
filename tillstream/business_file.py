"""`business:` in tillstream.yaml: which of the POS's tables and columns hold stock, prices, points and sales."""

import datetime as dt
import re
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from tillstream.checked_yaml import DurationText, Entry, duration_seconds

EVERY_SECONDS = 300.0
NIGHT = r"^(0[0-9]|1[01]):[0-5][0-9]$"  # a later end would leave open which of two dates the day is called by


class AnomalyKind(StrEnum):
    """What may look wrong in rows: the first four by `guards:` in the policies, the others by `business:`."""

    ROWS_PER_KEY = "rows_per_key"
    DIFFERENT = "different"
    FLIP_FLOP = "flip_flop"
    BALANCE = "balance"  # by both
    STOCK_NEGATIVE = "stock_negative"
    STOCK_LOW = "stock_low"
    PRICE_DIFFERS = "price_differs"


def _time_of_night(given: Any) -> Any:
    if isinstance(given, str) and re.match(NIGHT, given):
        return dt.time.fromisoformat(given)
    raise ValueError('must be a time from "00:00" to "11:59", in quotes: until then a sale is of the day before')


def _amount(given: Any) -> Any:
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given < float("inf"):
        raise ValueError("must be a number that is not negative")
    return Decimal(getattr(given, "text", str(given)))  # as it is written: 0.1 is no tenth in a float


def _amount_or_column(given: Any) -> Any:
    if isinstance(given, str) and given:
        return given
    try:
        return _amount(given)
    except ValueError as error:
        raise ValueError(f"{error}, or the name of the column that holds one") from None


Name = Annotated[str, Field(min_length=1)]
DayEnd = Annotated[
    dt.time, BeforeValidator(_time_of_night, json_schema_input_type=Annotated[str, Field(pattern=NIGHT)])
]
Amount = Annotated[Decimal, BeforeValidator(_amount, json_schema_input_type=Annotated[float, Field(ge=0)])]
AmountOrColumn = Annotated[
    Decimal | str,
    BeforeValidator(_amount_or_column, json_schema_input_type=Annotated[float, Field(ge=0)] | Name),
]


class StockEntry(Entry):
    table: Name = Field(description="The table with what is in stock; several rows of one code add up.")
    sku: Name = Field(description="Its column with the goods' code.")
    quantity: Name = Field(description="Its column with how much there is.")
    low: AmountOrColumn | None = Field(
        default=None, description="Less than this is low: a number, or the column that holds it for each of the goods."
    )


class SaleLinesEntry(Entry):
    table: Name = Field(description="The table with what was sold, one row for each of the goods on a bill.")
    sku: Name = Field(description="Its column with the goods' code.")
    quantity: Name = Field(description="Its column with how many were sold.")
    at: Name | None = Field(default=None, description="Its column with when that was.")
    sale: Name | None = Field(
        default=None, description="Its column with the primary key of `sales`, where the time stands there."
    )

    @model_validator(mode="after")
    def _one_time(self) -> "SaleLinesEntry":
        if self.at is not None and self.sale is not None:
            raise ValueError("`at` and `sale` both say when a line was sold; take one out")
        return self


class PriceEntry(Entry):
    table: Name = Field(description="The table with prices.")
    sku: Name = Field(description="Its column with the goods' code.")
    price: Name = Field(description="Its column with the price.")
    headquarters: Name | None = Field(
        default=None, description="The store whose prices the others should have; the agreed ones if left out."
    )
    tolerance: Amount = Field(
        default=Decimal(0), description="Prices that differ by no more are the same.", json_schema_extra={"default": 0}
    )


class PointsLedgerEntry(Entry):
    table: Name = Field(description="The table with a row for each change.")
    row: Name = Field(description="Its column with the member's primary key in the store.")
    change: Name = Field(description="Its column with what was added to the balance.")


class PointsEntry(Entry):
    table: Name = Field(description="The table of those who have points.")
    balance: Name = Field(description="Its column with how many they have.")
    ledger: PointsLedgerEntry | None = Field(
        default=None, description="Where a store notes each change, if the balance is to be what these add up to."
    )


class SalesEntry(Entry):
    table: Name = Field(description="The table of sales, one row each.")
    at: Name = Field(description="Its column with when that was.")
    amount: Name = Field(description="Its column with what was paid.")


class Business(Entry):
    """In the POS's own names."""

    stock: StockEntry | None = Field(default=None, description="What is in stock.")
    sale_lines: SaleLinesEntry | None = Field(
        default=None, description="How fast it is sold, and so how long the stock will last."
    )
    price: PriceEntry | None = Field(default=None, description="What goods cost.")
    points: PointsEntry | None = Field(default=None, description="Members' points.")
    sales: SalesEntry | None = Field(default=None, description="Sales, for the day's close.")
    every: Annotated[float, BeforeValidator(duration_seconds, json_schema_input_type=DurationText)] = Field(
        default=EVERY_SECONDS,
        description="How often `run` looks; less often where that would take more than 2 % of the time.",
        json_schema_extra={"default": "5m"},
    )
    ignore: tuple[AnomalyKind, ...] = Field(default=(), description="Kinds of anomalies that are not looked for.")

    @model_validator(mode="after")
    def _hangs_together(self) -> "Business":
        if self.sale_lines is not None and self.stock is None:
            raise ValueError("`sale_lines` tells how long the stock lasts; name `stock`, too")
        if self.sale_lines is not None and self.sale_lines.sale is not None and self.sales is None:
            raise ValueError("`sale_lines` names `sale`; name `sales`, too, where the time stands")
        return self
