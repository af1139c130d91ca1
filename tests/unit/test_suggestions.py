"""What `init` proposes for the data models that tills come with, and where it holds back."""

from dataclasses import replace

import pytest
from catalog import a_column, a_table

from conflict.policy import Normaliser, RuleName
from connectors.examination import StoredTable
from tillstream.examining import reason_against
from tillstream.suggestions import SharedTable, Suggestions, suggest


def proposed(*tables: StoredTable) -> Suggestions:
    return suggest(tables, reason_against)


def shared(table: StoredTable) -> SharedTable:
    found = proposed(table).shared
    assert len(found) == 1, proposed(table)
    return found[0]


def key_of(table: StoredTable) -> dict[str, Normaliser]:
    return {part.column: part.normaliser for part in shared(table).key}


def rules_of(table: StoredTable) -> dict[str, RuleName]:
    return {choice.column: choice.rule for choice in shared(table).columns}


def test_a_relational_till_with_people_and_customers_apart() -> None:
    """People are known by phone, customers by account number, cards by theirs; what happened stays a store's own."""
    found = proposed(
        a_table("person", "person_id int not null", "first varchar(40)", "phone varchar(20)", "email varchar(80)",
                key="person_id"),
        a_table("customer", "person_id int not null", "account_number varchar(20)", "points int", "package_id int",
                "discount decimal(5,2)", "deleted tinyint(1)", key="person_id", unique="account_number"),
        a_table("item", "item_id int not null", "item_number varchar(40)", "name varchar(80)", "cost decimal(15,2)",
                "unit_price decimal(15,2)", key="item_id"),
        a_table("item_quantity", "item_id int not null", "location_id int not null", "quantity decimal(15,3)",
                key="item_id,location_id"),
        a_table("sale", "sale_id int not null", "customer int", "invoice_number varchar(20)", key="sale_id"),
        a_table("sale_item", "sale_id int not null", "item_id int not null", key="sale_id,item_id"),
        a_table("inventory", "trans_id int not null", "item int", "delta decimal(15,3)", key="trans_id"),
        a_table("gift_card", "card_id int not null", "number varchar(30)", "value decimal(15,2)", "person int",
                key="card_id", unique="number"),
        a_table("sessions", "id varchar(40)", "data mediumblob", key=None),
        a_table("attribute_link", "a int", "b int", key=None, unique="a,b"),
    )  # fmt: skip
    tables = {each.table: each for each in found.shared}
    assert {name: [(k.column, k.normaliser) for k in each.key] for name, each in tables.items()} == {
        "person": [("phone", Normaliser.PHONE_CN)],
        "customer": [("account_number", Normaliser.TRIM)],
        "item": [("item_number", Normaliser.UPPER)],
        "gift_card": [("number", Normaliser.TRIM)],
    }
    assert [c.column for c in tables["customer"].columns if c.rule is RuleName.SUM] == ["points"]
    assert [c.column for c in tables["item"].columns if c.rule is RuleName.PRIORITY] == ["cost", "unit_price"]
    assert [c.column for c in tables["gift_card"].columns if c.rule is RuleName.SUM] == ["value"]
    assert any("package_id" in remark for remark in tables["customer"].remarks)
    assert "not unique in the store" in tables["item"].key_why
    assert set(found.own) == {"item_quantity", "sale", "sale_item", "inventory", "attribute_link"}
    assert dict(found.left_out) == {"sessions": "sessions"}


def test_a_chinese_till_with_one_table_of_parties() -> None:
    """Soft deletes and times as numbers are told of; goods that are known by their number only are not shared."""
    found = proposed(
        a_table("party", "id bigint not null", "name varchar(50)", "phone varchar(30)", "type varchar(20)",
                "advance_in decimal(24,6)", "delete_flag varchar(1)"),
        a_table("goods", "id bigint not null", "name varchar(100)", "unit varchar(20)", "enabled bit(1)"),
        a_table("goods_price", "id bigint not null", "goods_id bigint", "bar_code varchar(50)",
                "retail_price decimal(24,6)", "purchase_price decimal(24,6)", "update_time bigint(20)"),
        a_table("stock", "id bigint not null", "goods_id bigint", "depot_id bigint", "qty decimal(24,6)"),
        a_table("bill_item", "id bigint not null", "bill_id bigint", "unit_price decimal(24,6)"),
        a_table("sys_log", "id bigint not null", "content text"),
        a_table("sequence", "name varchar(50) not null", "current_val bigint", key="name"),
    )  # fmt: skip
    tables = {each.table: each for each in found.shared}
    assert set(tables) == {"party", "goods_price"}
    assert [(c.column, c.rule) for c in tables["party"].columns] == [("advance_in", RuleName.SUM)]
    assert any("delete_flag" in remark for remark in tables["party"].remarks)
    assert [(k.column, k.normaliser) for k in tables["goods_price"].key] == [("bar_code", Normaliser.UPPER)]
    assert tables["goods_price"].changed_at is None
    assert any("update_time is a number" in remark for remark in tables["goods_price"].remarks)
    assert found.own["goods"].startswith("looks like products, but has no column")
    assert dict(found.left_out) == {"sys_log": "a log"}


def test_a_till_whose_server_keeps_the_time_of_change() -> None:
    """The column that the server sets ON UPDATE is changed_at, before one that only sounds like it."""
    table = a_table("customers", "id int not null", "email varchar(50)", "modified datetime", "last_seen timestamp")
    columns = (*table.columns, a_column("customers", "stamp", "timestamp", extra="on update CURRENT_TIMESTAMP"))
    assert shared(replace(table, columns=columns)).changed_at == "stamp"
    assert shared(table).changed_at == "modified"


def test_chinese_names_are_understood() -> None:
    """Table and column names in Chinese, as some tills have them."""
    table = a_table(
        "会员表", "编号 int not null", "手机号 varchar(20)", "积分 decimal(10,2)", "密码 varchar(32)", key="编号"
    )
    assert key_of(table) == {"手机号": Normaliser.PHONE_CN}
    assert rules_of(table) == {"积分": RuleName.SUM}
    assert list(proposed(table).left_out_columns["会员表"]) == ["密码"]


@pytest.mark.parametrize(
    ("columns", "key"),
    [
        (("mobile varchar(20)", "tel varchar(20)"), {"mobile": Normaliser.PHONE_CN}),
        (("tel varchar(20)", "card_no varchar(20)"), {"tel": Normaliser.PHONE_CN}),
        (("phone bigint",), {"phone": Normaliser.PHONE_CN}),
        (("cardNo varchar(20)", "email varchar(50)"), {"cardNo": Normaliser.TRIM}),
        (("member_code varchar(20)", "zip_code varchar(9)"), {"member_code": Normaliser.TRIM}),
        (("id_card varchar(18)", "email varchar(50)"), {"email": Normaliser.EMAIL}),
    ],
)
def test_members_are_known_by_the_likeliest_column(columns: tuple[str, ...], key: dict[str, Normaliser]) -> None:
    """A phone before a card, a card before a mail address; never an identity card's number."""
    assert key_of(a_table("members", "id int not null", *columns)) == key


@pytest.mark.parametrize(
    ("columns", "unique", "key"),
    [
        (("sku varchar(20)", "barcode varchar(20)"), None, "sku"),
        (("sku varchar(20)", "barcode varchar(20)"), "barcode", "barcode"),
        (("ProductCode varchar(20)", "tax_code varchar(20)"), None, "ProductCode"),
        (("tax_code varchar(20)", "code varchar(20)"), None, "code"),
    ],
)
def test_products_are_known_by_what_is_unique_first(columns: tuple[str, ...], unique: str | None, key: str) -> None:
    """A code that some goods lack or share is the worse key."""
    assert key_of(a_table("products", "id int not null", *columns, unique=unique)) == {key: Normaliser.UPPER}


def test_a_price_list_is_keyed_as_its_unique_key_is() -> None:
    """One price per article and level, unless the other part is a number of the store's own."""
    columns = ("id int not null", "sku varchar(20)", "level int", "shop_id int", "price decimal(10,2)")
    assert key_of(a_table("prices", *columns, unique="sku,level")) == {
        "sku": Normaliser.UPPER,
        "level": Normaliser.EXACT,
    }
    assert key_of(a_table("prices", *columns, unique="sku,shop_id")) == {"sku": Normaliser.UPPER}


def test_only_numbers_are_summed_and_prioritised() -> None:
    """Not a rate, a date or a text that carries the word."""
    table = a_table("members", "id int not null", "phone varchar(20)", "points_rate decimal(3,2)", "points_date date",
                    "balance varchar(20)", "points double")  # fmt: skip
    assert rules_of(table) == {"points": RuleName.SUM}
    assert "not exact" in shared(table).columns[0].why


def test_a_keyless_table_is_never_shared() -> None:
    """And the file says why."""
    found = proposed(a_table("members", "phone varchar(20)", key=None))
    assert found.shared == ()
    assert "no primary key" in found.own["members"]


@pytest.mark.parametrize(
    ("table", "left_out"),
    [
        ("access_log", True), ("logs", True), ("tmp_sales", True), ("ci_sessions", True), ("products_bak", True),
        ("members_20240131", True), ("_orders_gho", True), ("phinx_migrations", True), ("操作日志", True),
        ("point_log", False), ("stock_log", False), ("catalogue", False), ("templates", False), ("sales", False),
    ],
)  # fmt: skip
def test_passing_things_are_left_out_and_ledgers_are_not(table: str, left_out: bool) -> None:
    """A log of points or stock is a ledger."""
    assert (table in proposed(a_table(table, "id int not null")).left_out) is left_out


def test_secrets_and_what_cannot_be_kept_stay_in_the_store() -> None:
    """With the reason; a table whose key would go is left out as a whole."""
    found = proposed(
        a_table(
            "members",
            "id int not null",
            "phone varchar(20)",
            "Passwd varchar(32)",
            "home xmltype",
            "pin varchar(9)",
            "pin_yin varchar(9)",
        ),
        a_table("places", "spot xmltype not null", key="spot"),
        a_table("gates", "id int not null", "address inet6"),
    )
    assert list(found.left_out_columns["members"]) == ["Passwd", "home", "pin"]
    assert "spot" in found.left_out["places"]
    assert found.left_out["gates"] == "its column address: Debezium cannot read the type INET6"
