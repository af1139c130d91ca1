"""What `init` proposes for `business:`, from names and types alone. What is in doubt is left out. Pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from conflict.policy import RuleName
from tillstream.pos_words import has, words

if TYPE_CHECKING:
    from connectors.examination import StoredColumn
    from tillstream.suggestions import SharedTable

Business = Mapping[str, Mapping[str, str]]  # as in tillstream.yaml
Columns = Mapping[str, Sequence["StoredColumn"]]  # by table

_STOCKS = frozenset({"stock", "inventory", "库存"})
_QUANTITIES = frozenset({"qty", "quantity", "数量", "库存"})
_SALES = frozenset({"sale", "order", "bill", "receipt", "ticket", "销售", "订单"})
_AMOUNTS = frozenset({"total", "amount", "金额", "合计"})
_POINTS = frozenset({"point", "jifen", "积分"})
_COSTS = frozenset({"cost", "进价"})
_CHANGED = frozenset({"updated", "update", "modified", "changed", "deleted", "修改", "更新"})
_NUMBERS = frozenset({"decimal", "numeric", "tinyint", "smallint", "mediumint", "int", "bigint", "float", "double"})


def suggest_business(tables: Columns, shared: "Sequence[SharedTable]") -> Business:
    """`tables`: those that are taken, with the columns that are."""
    own = {name: columns for name, columns in tables.items() if name not in {each.table for each in shared}}
    price = _price(shared)
    sku = price["sku"] if price else "sku"
    found = {"stock": _stock(own, sku), "price": price, "points": _points(shared), "sales": _sales(own)}
    return {section: said for section, said in found.items() if said}


def _price(shared: "Sequence[SharedTable]") -> dict[str, str]:
    return _the_only([
        {"table": each.table, "sku": each.key[0].column, "price": prices[0]}
        for each in shared
        if each.kind in ("products", "prices") and len(each.key) == 1
        and (prices := [choice.column for choice in each.columns
                        if choice.rule is RuleName.PRIORITY and not has(choice.column, _COSTS)])
    ])  # fmt: skip


def _points(shared: "Sequence[SharedTable]") -> dict[str, str]:
    return _the_only([
        {"table": each.table, "balance": choice.column}
        for each in shared if each.kind == "members"
        for choice in each.columns if choice.rule is RuleName.SUM and has(choice.column, _POINTS)
    ])  # fmt: skip


def _stock(own: Columns, sku: str) -> dict[str, str]:
    return _the_only([
        {"table": table, "sku": sku, "quantity": quantity}
        for table, columns in _called(own, _STOCKS) if sku in {column.name for column in columns}
        for quantity in [_only_number(columns, _QUANTITIES)] if quantity
    ])  # fmt: skip


def _sales(own: Columns) -> dict[str, str]:
    found = []
    for table, columns in _called(own, _SALES):
        times = [each.name for each in columns
                 if each.type_name in ("datetime", "timestamp") and not has(each.name, _CHANGED)]  # fmt: skip
        amount = _only_number(columns, _AMOUNTS)
        if len(times) == 1 and amount:
            found.append({"table": table, "at": times[0], "amount": amount})
    return _the_only(found)


def _called(tables: Columns, known: Collection[str]) -> "Iterator[tuple[str, Sequence[StoredColumn]]]":
    """Tables with such a name and no other word in it: `sale_lines` are no sales."""
    for table, columns in tables.items():
        if table in known or set(words(table)) <= set(known):
            yield table, columns


def _only_number(columns: "Sequence[StoredColumn]", known: Collection[str]) -> str:
    found = [each.name for each in columns if each.type_name in _NUMBERS and has(each.name, known)]
    return found[0] if len(found) == 1 else ""


def _the_only(found: Sequence[dict[str, str]]) -> dict[str, str]:
    return found[0] if len(found) == 1 else {}
