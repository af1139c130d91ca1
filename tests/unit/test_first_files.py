"""The files that `init` writes are understood by the program that reads them, whatever a store's names are."""

import tempfile
from pathlib import Path

import pytest
from catalog import a_column, a_table
from hypothesis import example, given
from hypothesis import strategies as st

from conflict.policy import Policy, RuleName
from connectors.examination import StoredTable, UniqueKey
from tillstream.commands.config import load_all
from tillstream.commands.init import guessed_zone
from tillstream.config import Config
from tillstream.examining import reason_against
from tillstream.first_files import FirstStore, config_text, policies_text
from tillstream.suggestions import suggest

FIRST = FirstStore(
    id="s001", name="中山路店: #1", host="10.0.1.5", port=3307, user="till@stream", password={"env": "POS_PASSWORD"},
    database="pos: {old}", timezone="Asia/Shanghai", timezone_why="guessed",
)  # fmt: skip
MEMBERS = a_table("members", "id int not null", "phone varchar(20)", "points int", "updated_at datetime", "pwd text")
PRODUCTS = a_table("products", "id int not null", "sku varchar(20)", "price decimal(9,2)", "place xmltype")


def read_back(*tables: StoredTable, first: FirstStore = FIRST) -> tuple[Config, Policy]:
    suggestions = suggest(tables, reason_against)
    with tempfile.TemporaryDirectory() as directory:
        config = Path(directory) / "tillstream.yaml"
        config.write_text(config_text(first, suggestions), encoding="utf-8")
        (Path(directory) / "policies.yaml").write_text(policies_text(first, suggestions), encoding="utf-8")
        return load_all(config)


def test_what_was_told_and_proposed_is_what_is_read() -> None:
    """Every answer and every proposal, through the comments and the quoting."""
    config, policy = read_back(MEMBERS, PRODUCTS, a_table("tmp", "id int not null"))
    [store] = config.stores
    assert (store.name, store.port, store.user, store.database) == (FIRST.name, 3307, FIRST.user, FIRST.database)
    assert (store.timezone, store.password.env) == ("Asia/Shanghai", "POS_PASSWORD")
    assert config.tables.exclude == ("tmp",)
    assert config.tables.exclude_columns == {"members": ("pwd",), "products": ("place",)}
    members, products = policy.tables["members"], policy.tables["products"]
    assert (members.changed_at, members.contest_ignore) == ("updated_at", {"updated_at"})
    assert members.rule_for("points").rule is RuleName.SUM
    assert members.rule_for("name").rule is RuleName.LATEST
    price = products.rule_for("price")
    assert (price.stores, price.then and price.then.rule) == (("s001",), RuleName.LATEST)


def test_what_the_names_allow_is_proposed_for_the_business_figures() -> None:
    """Sales, stock, prices and points, where one table and one column each are called so; what may be two is left to
    the person."""
    sales = a_table("sales", "id int not null", "sold_at datetime", "updated_at datetime", "total decimal(9,2)")
    lines = a_table("sale_lines", "id int not null", "sku varchar(20)", "qty int", "at datetime", "amount decimal(9,2)")
    stock = a_table("stock", "sku varchar(20) not null", "qty decimal(9,3)", key="sku")
    business = read_back(MEMBERS, PRODUCTS, sales, lines, stock)[0].business
    said = {
        section: each.model_dump(exclude_defaults=True)
        for section in ("stock", "sale_lines", "price", "points", "sales")
        if (each := getattr(business, section)) is not None
    }
    assert said == {
        "stock": {"table": "stock", "sku": "sku", "quantity": "qty"},
        "price": {"table": "products", "sku": "sku", "price": "price"},
        "points": {"table": "members", "balance": "points"},
        "sales": {"table": "sales", "at": "sold_at", "amount": "total"},
    }
    twice = a_table("sales", "id int not null", "opened_at datetime", "closed_at datetime", "total decimal(9,2)")
    assert read_back(twice)[0].business.sales is None
    assert (
        read_back(sales, a_table("orders", *(f"{c.name} {c.column_type}" for c in sales.columns)))[0].business.sales
        is None
    )


def test_a_store_with_nothing_to_share_gives_valid_files() -> None:
    """An empty policy is one."""
    assert dict(read_back(a_table("sales", "id int not null"))[1].tables) == {}


_words = st.sampled_from(
    ["member", "phone", "price", "sku", "points", "log", "pwd", "会员", "手机", "updated_at", "id"]
)
_odd = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=6)
_names = st.builds(lambda a, b, c: (a + b + c).strip() or "x", _odd, _words, _odd)
_types = st.sampled_from(["int", "varchar(20)", "decimal(9,2)", "datetime", "xmltype", "bigint", "enum('a, #\n','}')"])


@st.composite
def _tables(draw: st.DrawFn) -> StoredTable:
    name = draw(_names)
    columns = [
        a_column(name, each, draw(_types)) for each in draw(st.lists(_names, min_size=1, max_size=5, unique=True))
    ]
    keys = (UniqueKey(name="PRIMARY", columns=(columns[0].name,), nullable=False),) if draw(st.booleans()) else ()
    return StoredTable(name=name, columns=tuple(columns), unique_keys=keys)


@given(st.lists(_tables(), max_size=4, unique_by=lambda table: table.name))
@example([a_table("member\u2028", "id int not null")])
def test_any_names_give_files_that_are_understood(tables: list[StoredTable]) -> None:
    """Reserved words, quotes, colons, Chinese, numbers: a store's names are not ours to choose."""
    config, policy = read_back(*tables)
    taken = {table.name for table in tables} - set(config.tables.exclude)
    assert set(policy.tables) <= taken


@pytest.mark.parametrize(
    ("offset", "zone"),
    [(0, "UTC"), (28_800, "Asia/Shanghai"), (-18_000, "Etc/GMT+5"), (7_200, "Etc/GMT-2"), (19_800, "UTC")],
)
def test_a_zone_is_guessed_from_the_clock_with_a_word_about_it(offset: int, zone: str) -> None:
    """What cannot be guessed is UTC, and said to be wrong."""
    assert guessed_zone(offset)[0] == zone
    assert ("to be corrected" in guessed_zone(offset)[1]) is (offset == 19_800)
