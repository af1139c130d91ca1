"""What `verify` asks of both sides, each statement made of the expressions of `sinks.row_forms`.

The store's statements are for pymysql without parameters, so percent signs stand as they are; the warehouse's take
parameters, and their identifiers are quoted for that.
"""

from collections.abc import Sequence

from psycopg import sql

from sinks.statements import quoted, render
from sinks.statements.mirror import STAMP

ROW_COLUMNS = len(STAMP) + 2  # _pk and _deleted come along
_STAMP = ", ".join(STAMP)


def store_sum(source: str, digest: str, where: str) -> str:
    return f"SELECT COUNT(*), COALESCE(SUM({_store_number(digest)}), 0) FROM {source} WHERE {where}"


def store_sums(source: str, digest: str, chunk: str) -> str:
    return f"SELECT {chunk}, COUNT(*), SUM({_store_number(digest)}) FROM {source} GROUP BY 1"


def _store_number(digest: str) -> str:
    return f"CAST(CONV(LEFT({digest}, 15), 16, 10) AS UNSIGNED)"


def store_rows(source: str, columns: tuple[str, ...], where: str) -> str:
    return f"SELECT {', '.join(columns)} FROM {source} WHERE {where}"


def store_first(source: str, lead: str) -> str:
    return f"SELECT MIN({lead}) FROM {source}"


def store_next(source: str, lead: str, start: int, rows: int) -> str:
    """The key that is `rows` rows further on."""
    return f"SELECT {lead} FROM {source} WHERE {lead} >= {start} ORDER BY {lead} LIMIT 1 OFFSET {rows}"


def store_above(source: str, lead: str, start: int) -> str:
    return f"SELECT MIN({lead}) FROM {source} WHERE {lead} > {start}"


STORE_SESSION = (
    "SET time_zone = '+00:00'",
    "SET sql_mode = ''",  # PAD_CHAR_TO_FULL_LENGTH would show every CHAR with blanks that are not stored
    "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
)
HAS_MD5 = "SELECT MD5('')"
STORE_COLUMNS = "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"


def warehouse_count(source: str) -> str:
    return f"SELECT count(*) FROM {source} WHERE _store = %(store)s AND NOT _deleted"


def warehouse_sums(source: str, digest: str, chunk: str) -> str:
    number = f"('x' || left({digest}, 15))::bit(60)::bigint"
    return f"SELECT {chunk}, count(*), sum({number}) FROM {source} WHERE _store = %(store)s AND NOT _deleted GROUP BY 1"


def warehouse_chunks(source: str, columns: tuple[str, ...], chunk: str) -> str:
    """The live rows of some chunks."""
    return f"{_warehouse_rows(source, columns)} AND NOT _deleted AND {chunk} = ANY(%(chunks)s)"


def warehouse_found(source: str, columns: tuple[str, ...], found_by: str) -> str:
    """Rows by what identifies them, deleted ones too: their stamps tell whether something is under way."""
    return f"{_warehouse_rows(source, columns)} AND {found_by} = ANY(%(wanted)s)"


def _warehouse_rows(source: str, columns: tuple[str, ...]) -> str:
    return f"SELECT {_STAMP}, _pk, _deleted, {', '.join(columns)} FROM {source} WHERE _store = %(store)s"


LEDGER = "SELECT epoch, file, pos, snapshot_done FROM tillstream.ledger WHERE store = %s"
LETTERS = "SELECT pk, op FROM tillstream.dead_letters WHERE store = %s AND table_name = %s AND status = 'open'"
IS_CAPTURED = "SELECT EXISTS (SELECT FROM tillstream.schema_versions WHERE store = %s)"
TABLES = "SELECT DISTINCT table_name FROM tillstream.schema_versions"
RECORD = "INSERT INTO tillstream.verification_runs (started_at, result, is_whole) VALUES (%s, %s, %s)"


# --- central.* ---------------------------------------------------------------------------------------------

ONE_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"
READ_ONLY = "SET TRANSACTION READ ONLY"
STORES_WITH = "SELECT count(*) FROM tillstream.presence WHERE table_name = %s"
DIRTY = """\
SELECT k.key FROM unnest(%(keys)s::text[]) AS k(key)
WHERE EXISTS (SELECT FROM tillstream.dirty_keys d WHERE d.table_name = %(table)s AND d.key = k.key)
   OR EXISTS (SELECT FROM tillstream.redecisions r WHERE r.table_name = %(table)s AND k.key COLLATE "C" > r.after)"""
DECIDED = ("_stores", "_winners", "_newest", "_contested", "_uncertain")

_CENTRAL_KEYS = sql.SQL("""\
(SELECT _key FROM central.{table} t WHERE _key > %(last)s AND (%(stores)s::text[] IS NULL OR EXISTS (
   SELECT 1 FROM stores.{table} s WHERE s._key = t._key AND s._store = ANY(%(stores)s)))
 ORDER BY _key LIMIT %(limit)s)
UNION
(SELECT DISTINCT _key FROM {keyed} WHERE _key > %(last)s
   AND (%(stores)s::text[] IS NULL OR _store = ANY(%(stores)s))
 ORDER BY _key LIMIT %(limit)s)
ORDER BY _key LIMIT %(limit)s""")

_CENTRAL_DIFFERING = sql.SQL("""\
SELECT coalesce(s._key, t._key), s._key IS NOT NULL, t._key IS NOT NULL, {facts}
FROM {stage} s FULL JOIN (SELECT * FROM central.{table} WHERE _key = ANY(%s)) t ON s._key = t._key
WHERE s._key IS NULL OR t._key IS NULL OR {differs}
ORDER BY 1""")

_BUSINESS_KEYS = sql.SQL("""\
SELECT _store, _pk, _key, {columns} FROM stores.{table}
WHERE NOT _deleted AND (_store, _pk) > (%s, %s) AND (%s::text[] IS NULL OR _store = ANY(%s))
ORDER BY _store, _pk LIMIT %s""")


def central_keys(table: str, rekeyed: str | None = None) -> str:
    """Of rows that are there and of rows that should be: these by `rekeyed` where that is given."""
    keyed = sql.Identifier(rekeyed) if rekeyed else sql.SQL("stores.{}").format(quoted(table))
    return render(_CENTRAL_KEYS.format(table=quoted(table), keyed=keyed))


def keys_by(rekeyed: str) -> str:
    """The same where nothing is agreed yet."""
    return render(
        sql.SQL("SELECT DISTINCT _key FROM {} WHERE _key > %(last)s ORDER BY _key LIMIT %(limit)s").format(
            sql.Identifier(rekeyed)
        )
    )


def empty_stage(stage: str) -> str:
    return render(sql.SQL("DELETE FROM {}").format(sql.Identifier(stage)))


def central_differing(table: str, columns: Sequence[str], stage: str) -> str:
    """Per column and fact of the decision: whether it differs, what should stand there, what does."""
    facts = [quoted(name) for name in (*columns, *DECIDED)]
    differs = [sql.SQL("s.{0} IS DISTINCT FROM t.{0}").format(name) for name in facts]
    triples = [
        sql.SQL("{differs}, s.{name}::text, t.{name}::text").format(differs=each, name=name)
        for each, name in zip(differs, facts, strict=True)
    ]
    return render(
        _CENTRAL_DIFFERING.format(
            table=quoted(table),
            stage=sql.Identifier(stage),
            facts=sql.SQL(", ").join(triples),
            differs=sql.SQL(" OR ").join(differs),
        )
    )


def business_keys(table: str, columns: Sequence[str]) -> str:
    return render(
        _BUSINESS_KEYS.format(table=quoted(table), columns=sql.SQL(", ").join(quoted(name) for name in columns))
    )
