"""Views: which of a store's ids is which central key, and isolated tables with the central keys their rows refer to."""

from collections.abc import Collection, Mapping

from psycopg import sql

from sinks.names import identifier
from sinks.statements import names, render

_IDS = sql.SQL("""\
CREATE OR REPLACE VIEW central.{view} AS
SELECT _store, _pk, _key FROM stores.{table} WHERE NOT _deleted AND _key IS NOT NULL""")

_BY_STORE = sql.SQL("""\
CREATE OR REPLACE VIEW central.{view} AS
SELECT _key, _store, _pk, {columns} FROM stores.{table} WHERE NOT _deleted AND _key IS NOT NULL""")

# The store's own columns come last: one that is added then needs no new view, which would take away what was granted.
_RESOLVED = sql.SQL("""\
CREATE OR REPLACE VIEW chain.{table} AS
SELECT t._store, t._pk, t._event_at, {keys}, {columns} FROM stores.{table} t{joins}
WHERE NOT t._deleted""")
_KEY = sql.SQL("{alias}._key AS {name}")
_NO_KEY = sql.SQL('NULL::text COLLATE "C" AS {name}')
_JOIN = sql.SQL("""
LEFT JOIN central.{ids} {alias} ON {alias}._store = t._store AND {alias}._pk = t.{column}::text""")

IN_FORCE = "SELECT (SELECT fingerprint FROM tillstream.policies ORDER BY id DESC LIMIT 1)"
OURS = "Made by Tillstream"
COMMENT = sql.SQL("COMMENT ON VIEW {view} IS {text}")
DROP = sql.SQL("DROP VIEW IF EXISTS {view}")
PRESENT = f"""\
SELECT n.nspname, c.relname, obj_description(c.oid),
       ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 ORDER BY a.attnum)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname IN ('central', 'chain', 'desk') AND c.relkind = 'v' AND obj_description(c.oid) LIKE '{OURS}%'"""


def ids_view(table: str) -> str:
    """The name, in the schema central."""
    return identifier(f"{table}_ids")


def by_store_view(table: str) -> str:
    """The name, in the schema central."""
    return identifier(f"{table}_by_store")


def key_column(column: str) -> str:
    """Where the central key stands that `column` refers to."""
    return identifier(f"_{column}_key")


def ids(table: str) -> str:
    return render(_IDS.format(view=sql.Identifier(ids_view(table)), table=sql.Identifier(table)))


def by_store(table: str, columns: Collection[str]) -> str:
    return render(
        _BY_STORE.format(
            view=sql.Identifier(by_store_view(table)), table=sql.Identifier(table), columns=names(tuple(columns))
        )
    )


def resolved(table: str, columns: Collection[str], references: Mapping[str, str], shared: Collection[str]) -> str:
    """`references`: column → shared table. NULL where there is no such column, or no such table yet."""
    known = {column: to for column, to in references.items() if column in columns and to in shared}
    aliases = {column: sql.Identifier(f"r{number}") for number, column in enumerate(known)}
    return render(
        _RESOLVED.format(
            table=sql.Identifier(table),
            keys=sql.SQL(", ").join(
                (_KEY if column in known else _NO_KEY).format(
                    name=sql.Identifier(key_column(column)), alias=aliases.get(column)
                )
                for column in references
            ),
            columns=names(columns, "t."),
            joins=sql.SQL("").join(
                _JOIN.format(ids=sql.Identifier(ids_view(to)), alias=aliases[column], column=sql.Identifier(column))
                for column, to in known.items()
            ),
        )
    )
