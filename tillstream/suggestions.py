"""What `init` proposes for a store's tables, from their names, types and keys alone: pure, and only a beginning.

In doubt a table stays each store's own: sharing what is not shared merges rows that are two things.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

from conflict.policy import Normaliser, RuleName
from tillstream.business_suggestions import Business, suggest_business
from tillstream.pos_words import has, words

if TYPE_CHECKING:  # the catalog's reader brings a driver along; nothing here asks a server
    from connectors.examination import StoredColumn, StoredTable

ReasonAgainst = Callable[["StoredColumn"], str | None]


class Kind(StrEnum):
    """What a shared table holds, in a word for people."""

    MEMBERS = "members"
    PRODUCTS = "products"
    PRICES = "prices"
    CARDS = "cards"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyColumn:
    column: str
    normaliser: Normaliser


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnChoice:
    column: str
    rule: RuleName
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedTable:
    table: str
    kind: Kind
    key: tuple[KeyColumn, ...]
    key_why: str
    changed_at: str | None = None
    columns: tuple[ColumnChoice, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestions:
    shared: tuple[SharedTable, ...]
    own: Mapping[str, str]  # table → why it stays each store's own; "" where that goes without saying
    left_out: Mapping[str, str]  # table → why
    left_out_columns: Mapping[str, Mapping[str, str]]  # table → column → why
    business: Business  # what `business:` is to say


def suggest(tables: Iterable["StoredTable"], reason_against: ReasonAgainst) -> Suggestions:
    """`reason_against` says why the warehouse cannot keep a column."""
    shared: list[SharedTable] = []
    own: dict[str, str] = {}
    left_out: dict[str, str] = {}
    columns: dict[str, dict[str, str]] = {}
    taken: dict[str, list[StoredColumn]] = {}
    for table in tables:
        unwanted = _unwanted_columns(table, reason_against)
        why = _unwanted(table) or _unidentifiable(table, unwanted)
        if why:
            left_out[table.name] = why
            continue
        if unwanted:
            columns[table.name] = unwanted
        taken[table.name] = [column for column in table.columns if column.name not in unwanted]
        found = _shared(table, taken[table.name])
        if isinstance(found, SharedTable):
            shared.append(found)
        else:
            own[table.name] = found
    business = suggest_business(taken, shared)
    return Suggestions(shared=tuple(shared), own=own, left_out=left_out, left_out_columns=columns, business=business)


# --- words in names ---------------------------------------------------------------------------------------

_KINDS: dict[Kind, frozenset[str]] = {
    Kind.PRICES: frozenset({"price", "pricelist", "价格", "价目", "售价"}),
    Kind.CARDS: frozenset({"card", "giftcard", "voucher", "储值卡", "会员卡", "礼品卡"}),
    Kind.MEMBERS: frozenset({
        "member", "customer", "client", "vip", "person", "people", "party", "patron", "huiyuan", "kehu",
        "会员", "顾客", "客户",
    }),
    Kind.PRODUCTS: frozenset({
        "product", "good", "item", "sku", "article", "merchandise", "shangpin", "商品", "货品",
    }),
}  # fmt: skip
# A table with one of these tells what happened, or what lies where, in one store.
_EVENTS = frozenset({
    "sale", "order", "bill", "invoice", "receipt", "ticket", "line", "detail", "stock", "inventory", "quantity", "qty",
    "tax", "kit", "purchase", "receiving", "return", "refund", "payment", "transaction", "trans", "movement",
    "ledger", "history", "log", "point", "rental", "transfer", "count", "package", "group", "category", "type",
    "image", "picture", "tag", "attribute", "supplier", "employee", "staff", "user",
    "销售", "订单", "单据", "流水", "明细", "库存", "支付", "记录", "分类", "类别",
})  # fmt: skip
_PASSING = {
    "log": "a log", "tmp": "temporary", "temp": "temporary", "session": "sessions", "cache": "a cache",
    "bak": "a backup", "backup": "a backup", "old": "a backup", "copy": "a backup", "migration": "the POS's own upkeep",
    "job": "the POS's own upkeep", "queue": "the POS's own upkeep", "test": "a test",
    "gho": "left over from a schema change", "ghc": "left over from a schema change",
    "日志": "a log", "临时": "temporary", "备份": "a backup",
}  # fmt: skip
# A log of these is a ledger: money, points or goods.
_WORTH_KEEPING = frozenset({
    "point", "stock", "price", "sale", "inventory", "member", "card", "balance", "payment", "order", "积分", "库存",
})  # fmt: skip
_SECRETS = frozenset({"password", "passwd", "pwd", "passcode", "pincode", "secret", "token", "salt", "密码", "口令"})

_PHONES = ("mobile", "phone", "cellphone", "handphone", "cell", "tel", "telephone", "shouji", "手机", "电话")
_EMAILS = ("email", "mail", "邮箱")
_CARD_NUMBERS = ("card", "卡号", "account")
_SKUS, _BARCODES = ("sku", "货号"), ("barcode", "ean", "upc", "gtin", "条码", "条形码")
_NUMBERS = ("number", "no", "num", "code", "plu", "编号", "编码", "代码")

_BALANCES = frozenset({"point", "balance", "jifen", "advance", "credit", "积分", "余额", "预存"})
_STOCKS = frozenset({"stock", "quantity", "qty", "库存", "数量"})
_PRICES = frozenset({"price", "cost", "单价", "售价", "进价", "价格", "零售价", "会员价"})
_NOT_AMOUNTS = frozenset({"rate", "ratio", "percent", "type", "id", "date", "time", "level", "flag", "status", "limit"})
_CHANGED = ("updated", "update", "modified", "modify", "modification", "changed", "mtime", "修改", "更新")
_EXACT_NUMBERS = frozenset({"decimal", "numeric", "tinyint", "smallint", "mediumint", "int", "bigint"})
_TEXTS = frozenset({"char", "varchar"})


# --- what is left out -------------------------------------------------------------------------------------


def _unwanted(table: "StoredTable") -> str:
    if re.search(r"_(19|20)\d{6}$", table.name):
        return "a backup"
    if has(table.name, _WORTH_KEEPING):
        known = {word: why for word, why in _PASSING.items() if word not in ("log", "日志")}
    else:
        known = _PASSING
    return next((why for word, why in known.items() if has(table.name, [word])), "")


def _unidentifiable(table: "StoredTable", unwanted: Mapping[str, str]) -> str:
    lost = [name for name in table.primary_key if name in unwanted]
    if lost:
        return f"its key has the column {lost[0]}, {unwanted[lost[0]]}"
    unreadable = next((column for column in table.columns if column.unreadable), None)
    if unreadable is not None:
        return f"its column {unreadable.name}: {unreadable.unreadable}"
    return "system-versioned, which cannot be captured" if table.system_versioned else ""


def _unwanted_columns(table: "StoredTable", reason_against: ReasonAgainst) -> dict[str, str]:
    found = {}
    for column in table.columns:
        if has(column.name, _SECRETS) or words(column.name) == ["pin"]:  # pin_yin is a name's spelling
            found[column.name] = "a secret, which has no business outside the store"
        elif reason := reason_against(column):
            found[column.name] = f"{reason}, which cannot be kept"
    return found


# --- what is shared ---------------------------------------------------------------------------------------


def _shared(table: "StoredTable", columns: Sequence["StoredColumn"]) -> SharedTable | str:
    """The proposal, or why the table stays each store's own."""
    kind = next((kind for kind, words in _KINDS.items() if has(table.name, words)), None)
    if kind is None or has(table.name, _EVENTS):
        return ""
    key = _key(table, kind, columns)
    if key is None:
        return f"looks like {kind}, but has no column that names one of them in every store"
    if table.is_keyless:
        return f"looks like {kind}, but has no primary key, and then it cannot be shared"
    rest = [each for each in columns if each.name not in table.primary_key and each not in key]
    changed_at = _changed_at(rest)
    return SharedTable(
        table=table.name,
        kind=kind,
        key=tuple(KeyColumn(column=each.name, normaliser=_normaliser(kind, each)) for each in key),
        key_why=_key_why(table, kind, key),
        changed_at=changed_at,
        columns=tuple(_choices(kind, [each for each in rest if each.name != changed_at])),
        remarks=tuple(_remarks(rest)),
    )


def _key(table: "StoredTable", kind: Kind, columns: Sequence["StoredColumn"]) -> "list[StoredColumn] | None":
    ranked = [column for names in _key_names(kind) for column in columns if _may_be_key(column) and names(column.name)]
    if not ranked:
        return None
    alone = [column for column in ranked if _is_unique(table, column)]
    best = alone[0] if alone and kind is not Kind.MEMBERS else ranked[0]
    return _with_others(table, best, columns)


def _key_names(kind: Kind) -> tuple[Callable[[str], bool], ...]:
    """What a column that identifies is called, the likeliest first."""
    skus, barcodes = partial(has, known=_SKUS), partial(has, known=_BARCODES)
    card_numbers, own_number = partial(has, known=_CARD_NUMBERS), partial(_is_number_of, kind)
    match kind:
        case Kind.MEMBERS:
            return _is_phone, card_numbers, own_number, partial(has, known=_EMAILS)
        case Kind.CARDS:
            return card_numbers, barcodes, own_number
        case Kind.PRODUCTS | Kind.PRICES:
            return skus, barcodes, own_number


def _is_phone(name: str) -> bool:
    return has(name, _PHONES)


def _is_number_of(kind: Kind, name: str) -> bool:
    """`number` or `item_number`, but not `tax_code`, which is no product's."""
    found = words(name)
    kinds = _KINDS[Kind.PRODUCTS if kind is Kind.PRICES else kind]
    return (len(found) == 1 and found[0] in _NUMBERS) or any(f"{a}{b}" in found for a, b in product(kinds, _NUMBERS))


def _may_be_key(column: "StoredColumn") -> bool:
    kinds = _TEXTS | {"bigint"} if _is_phone(column.name) else _TEXTS
    return column.type_name in kinds and not has(column.name, ("id", "type", "name", "fax"))


def _is_unique(table: "StoredTable", column: "StoredColumn") -> bool:
    return any(key.columns == (column.name,) for key in table.unique_keys)


def _with_others(table: "StoredTable", best: "StoredColumn", columns: Sequence["StoredColumn"]) -> "list[StoredColumn]":
    """With the other columns of its unique key, as (sku, level) of a price list, unless they mean one store's rows."""
    if _is_unique(table, best):
        return [best]
    for key in table.unique_keys:
        parts = [column for name in key.columns for column in columns if column.name == name]
        if best in parts and len(parts) == len(key.columns) and not any(has(part.name, ("id",)) for part in parts):
            return parts
    return [best]


def _normaliser(kind: Kind, column: "StoredColumn") -> Normaliser:
    if column.type_name not in _TEXTS:
        return Normaliser.PHONE_CN if _is_phone(column.name) else Normaliser.EXACT
    if kind is Kind.MEMBERS and _is_phone(column.name):
        return Normaliser.PHONE_CN
    if kind is Kind.MEMBERS and has(column.name, _EMAILS):
        return Normaliser.EMAIL
    is_code = kind in (Kind.PRODUCTS, Kind.PRICES) and any(names(column.name) for names in _key_names(kind))
    return Normaliser.UPPER if is_code else Normaliser.TRIM


_NORMALISER_WHY = {
    Normaliser.PHONE_CN: "138 0013 8000 and +86 13800138000 are one",
    Normaliser.UPPER: "without regard to case and to spaces around it",
    Normaliser.EMAIL: "without regard to case and to spaces around it; what is no address is no key",
    Normaliser.TRIM: "without regard to spaces around it",
    Normaliser.EXACT: "exactly as it stands",
}


def _key_why(table: "StoredTable", kind: Kind, key: "Sequence[StoredColumn]") -> str:
    why = _NORMALISER_WHY[_normaliser(kind, key[0])]
    if len(key) > 1 or _is_unique(table, key[0]):
        return why
    return f"{why}; not unique in the store: its rows with one {key[0].name} become one central row"


def _changed_at(columns: "Sequence[StoredColumn]") -> str | None:
    times = [column for column in columns if column.type_name in ("datetime", "timestamp")]
    kept_by_server = [column for column in times if "on update" in column.extra.lower()]
    named = [column for column in times if has(column.name, _CHANGED)]
    return next((column.name for column in (*kept_by_server, *named)), None)


def _choices(kind: Kind, columns: "Sequence[StoredColumn]") -> Iterator[ColumnChoice]:
    for column in columns:
        if has(column.name, _NOT_AMOUNTS) or column.type_name not in _EXACT_NUMBERS | {"float", "double"}:
            continue
        holds_balances = kind in (Kind.MEMBERS, Kind.CARDS)
        if holds_balances and (has(column.name, _BALANCES) or (kind is Kind.CARDS and has(column.name, ("value",)))):
            why = "right only if each store keeps its own; where the POS copies one balance to all stores, write latest"
            if column.type_name not in _EXACT_NUMBERS:
                why += f" ({column.type_name.upper()} is not exact to begin with)"
            yield ColumnChoice(column=column.name, rule=RuleName.SUM, why=why)
        elif kind is Kind.PRODUCTS and has(column.name, _STOCKS):
            why = "each store counts its own stock; the central row has the chain's"
            yield ColumnChoice(column=column.name, rule=RuleName.SUM, why=why)
        elif not holds_balances and has(column.name, _PRICES):
            why = "name the stores that set prices, best first; where none of them has the row, the latest counts"
            yield ColumnChoice(column=column.name, rule=RuleName.PRIORITY, why=why)


def _remarks(columns: "Sequence[StoredColumn]") -> Iterator[str]:
    local = [column.name for column in columns if "id" in words(column.name)]
    if local:
        verb = "holds" if len(local) == 1 else "hold"
        yield f"{', '.join(local)} {verb} numbers of the store that wrote them last: they point into its own tables"
    for column in columns:
        if has(column.name, _CHANGED) and column.type_name in _EXACT_NUMBERS:
            yield f"{column.name} is a number and no time: it cannot stand in changed_at"
        if has(column.name, ("deleted", "delete", "删除")):
            yield f"{column.name} is a value like any other here: a row that it marks keeps its central row"
