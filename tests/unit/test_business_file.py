"""`business:` and `day_ends_at` in tillstream.yaml: what may stand there, and what is told of what may not."""

import datetime as dt
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from tillstream.business_file import AnomalyKind
from tillstream.config import Config, load_config
from tillstream.errors import ConfigError
from tillstream.rehearsal import shop

SMALLEST = """\
defaults: {{user: tillstream, database: pos, password: {{env: POS_PASSWORD}}{defaults}}}
stores:
  - {{id: s001, host: 10.0.1.5}}
"""
STOCK = "stock: {table: stock, sku: sku, quantity: qty}"


def config_of(directory: Path, text: str, *, defaults: str = "") -> Config:
    file = directory / "tillstream.yaml"
    file.write_text(SMALLEST.format(defaults=defaults) + text)
    return load_config(file)


def test_nothing_need_be_said(tmp_path: Path) -> None:
    """Without it nothing is looked for, and a day ends at midnight."""
    config = config_of(tmp_path, "")
    business = config.business
    assert (business.stock, business.price, business.points, business.sales) == (None, None, None, None)
    assert business.every == 300
    assert config.stores[0].day_ends_at == dt.time(0)


def test_all_that_may_be_said(tmp_path: Path) -> None:
    """Amounts are exact, as they are written; a threshold may stand in a column of its own."""
    text = yaml.safe_dump({"business": {**shop.BUSINESS, "ignore": ["flip_flop"], "every": "10m"}})
    business = config_of(tmp_path, text).business
    assert business.stock is not None
    assert business.stock.low == Decimal(20)
    assert (business.ignore, business.every) == ((AnomalyKind.FLIP_FLOP,), 600)
    price = "price: {table: products, sku: sku, price: price, headquarters: s001, tolerance: 0.10}"
    business = config_of(tmp_path, f"business: {{{STOCK[:-1]}, low: least}}, {price}}}\n").business
    assert business.stock is not None
    assert business.price is not None
    assert (business.stock.low, business.price.tolerance) == ("least", Decimal("0.10"))
    assert str(business.price.tolerance) == "0.10"


def test_a_day_ends_in_the_night(tmp_path: Path) -> None:
    """Every store is told when; the defaults are looked at by nobody else."""
    assert config_of(tmp_path, "", defaults=', day_ends_at: "04:00"').stores[0].day_ends_at == dt.time(4)


@pytest.mark.parametrize("given", ['"12:00"', '"4:00"', '"04:60"', "4", "true", "late"])
def test_a_day_that_ends_at_no_time_of_the_night(tmp_path: Path, given: str) -> None:
    """After noon it would be open which of two dates the day is called by."""
    with pytest.raises(ConfigError, match=r"yaml:1: defaults\.day_ends_at: must be a time from \"00:00\" to \"11:59\""):
        config_of(tmp_path, "", defaults=f", day_ends_at: {given}")


def test_a_time_without_quotes_is_no_time(tmp_path: Path) -> None:
    """YAML reads 10:30 as 630."""
    with pytest.raises(ConfigError, match="put it in quotes"):
        config_of(tmp_path, "", defaults=", day_ends_at: 10:30")


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ("stok: {}", 'business.stok: "stok" is not known here; did you mean "stock"?'),
        ("stock: {table: stock, sku: sku}", 'business.stock.quantity: "quantity" is required here'),
        (
            "stock: {table: stock, sku: sku, quantity: qty, low: -1}",
            "business.stock.low: must be a number that is not ",
        ),
        ("stock: {table: stock, sku: sku, quantity: qty, low: [1]}", "or the name of the column that holds one"),
        (
            "price: {table: p, sku: s, price: x, tolerance: little}",
            "business.price.tolerance: must be a number that is not negative",
        ),
        (
            "price: {table: p, sku: s, price: x, headquarters: s01}",
            'business.price.headquarters: "s01" is not a store; did you mean "s001"?',
        ),
        ("ignore: [stock_lo]", 'business.ignore[0]: "stock_lo" is not known here; did you mean "stock_low"?'),
        ("every: 5", "business.every: must be a duration with its unit"),
        ("sale_lines: {table: l, sku: s, quantity: q, at: t}", "`sale_lines` tells how long the stock lasts"),
        (f"{STOCK}, sale_lines: {{table: l, sku: s, quantity: q, at: t, sale: n}}", "take one out"),
        (f"{STOCK}, sale_lines: {{table: l, sku: s, quantity: q, sale: n}}", "name `sales`, too"),
    ],
)
def test_a_fault_says_what_is_allowed(tmp_path: Path, said: str, fault: str) -> None:
    """One fault, in the line it is in."""
    with pytest.raises(ConfigError) as caught:
        config_of(tmp_path, f"business: {{{said}}}\n")
    (told,) = map(str, caught.value.faults)
    assert "yaml:4: business" in told
    assert fault in told


@pytest.mark.parametrize(
    ("tables", "fault"),
    [
        ("{include: [sales]}", "business.stock.table: stock is not among the tables that `tables.include` takes"),
        ("{exclude: [stock]}", "business.stock.table: stock is among the tables that `tables.exclude` leaves out"),
        (
            "{exclude_columns: {stock: [qty]}}",
            "business.stock.quantity: stock.qty is among the columns that `tables.exclude_columns` leaves in the store",
        ),
    ],
)
def test_what_never_comes_into_the_warehouse_cannot_be_looked_at(tmp_path: Path, tables: str, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_of(tmp_path, f"business: {{{STOCK}}}\ntables: {tables}\n")
    (told,) = map(str, caught.value.faults)
    assert fault in told
