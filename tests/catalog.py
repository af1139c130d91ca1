"""Stores' servers and tables as facts, made up: for the tests of what is concluded from them."""

from typing import Any

from connectors.examination import Head, Server, StoredColumn, StoredTable, UniqueKey
from connectors.rights import Rights, rights_of
from tillstream.config import Secret, Store

ALL_RIGHTS = rights_of(["GRANT ALL PRIVILEGES ON *.* TO 'tillstream'@'%'"])
HEAD = Head(file="binlog.000001", position=4)
FIT = {
    "version": "5.6.24-log",
    "log_bin": "ON",
    "binlog_format": "ROW",
    "binlog_row_image": "FULL",
    "server_id": "7",
    "server_uuid": "uuid-7",
    "expire_logs_days": "10",
    "sql_mode": "STRICT_TRANS_TABLES,NO_ZERO_DATE",
}


def a_store(store: str = "s1", **given: Any) -> Store:
    usual = {
        "name": store, "host": "10.0.0.1", "port": 3306, "user": "tillstream", "password": Secret(env="POS_PASSWORD"),
        "database": "pos", "timezone": "Asia/Shanghai",
    }  # fmt: skip
    return Store(id=store, **{**usual, **given})


def a_server(*, rights: Rights = ALL_RIGHTS, head: Head | None = HEAD, **settings: str) -> Server:
    """One that is fit for capture, but for what is given."""
    return Server(variables={**FIT, **settings}, rights=rights, head=head)


def a_table(name: str, *columns: str, key: str | None = "id", unique: str | None = None, **given: Any) -> StoredTable:
    """Columns as "name type" ("not null" may follow); keys as comma-separated names."""
    keys = [UniqueKey(name="PRIMARY", columns=tuple(key.split(",")), nullable=False)] if key else []
    keys += [UniqueKey(name="u", columns=tuple(unique.split(",")), nullable=True)] if unique else []
    return StoredTable(
        name=name, columns=tuple(a_column(name, *column.split(" ", 1)) for column in columns),
        **{"unique_keys": tuple(keys), **given},
    )  # fmt: skip


def a_column(table: str, name: str, column_type: str, **given: Any) -> StoredColumn:
    plain = column_type.removesuffix(" not null")
    texts = plain.startswith(("char", "varchar", "text", "enum"))
    return StoredColumn(
        table=table, name=name, column_type=plain, nullable=plain == column_type,
        **{"charset": "utf8mb4" if texts else None, **given},
    )  # fmt: skip
