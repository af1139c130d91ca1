"""Pairs of rows of central.<table> that may be one: those that share a block, and no block is large."""

from collections.abc import Sequence

from psycopg import sql

from sinks.statements import names, quoted, render

_RARITY = sql.SQL("SELECT count(*), {counts} FROM (SELECT {columns} FROM central.{table} LIMIT {sample}) t")

# A key less one character: two keys that meet in one are a typing error apart (a digit more, less, another or two
# exchanged). And what two rows have in common, in one column or in two. Those that share most blocks come first.
_PAIRS = sql.SQL("""\
WITH parts AS (
  SELECT 0 AS kind, left(_key, i - 1) || substr(_key, i + 1) AS part, _key
  FROM central.{table}, generate_series(1, length(_key)) i WHERE length(_key) >= {shortest}{equal}
), blocks AS (
  SELECT array_agg(_key) AS keys FROM parts GROUP BY kind, part HAVING count(*) BETWEEN 2 AND {most}
)
SELECT a.key, b.key FROM blocks, unnest(keys) a(key), unnest(keys) b(key) WHERE a.key < b.key
GROUP BY 1, 2 ORDER BY count(*) DESC, 1, 2 LIMIT {limit}""")
_EQUAL = sql.SQL("""
  UNION SELECT {kind}, concat_ws(chr(31), {values}), _key FROM central.{table} WHERE {given}""")

_ROWS = sql.SQL("""\
SELECT a._key, b._key, a._stores, b._stores, {ones}, {others}
FROM unnest(%s::text[], %s::text[]) p(one, other)
JOIN central.{table} a ON a._key = p.one JOIN central.{table} b ON b._key = p.other""")


def rarity(table: str, columns: Sequence[str], sample: int) -> str:
    counts = sql.SQL(", ").join(sql.SQL("count(DISTINCT {})").format(sql.Identifier(column)) for column in columns)
    return render(
        _RARITY.format(counts=counts, columns=names(columns), table=sql.Identifier(table), sample=sql.Literal(sample))
    )


def pairs(table: str, together: Sequence[Sequence[str]], *, shortest: int, most: int, limit: int) -> str:
    """`together`: columns in which two rows may be equal at once."""
    name = sql.Identifier(table)
    equal = [
        _EQUAL.format(
            kind=sql.Literal(kind),
            values=sql.SQL(", ").join(sql.SQL("lower({}::text)").format(sql.Identifier(each)) for each in columns),
            table=name,
            given=sql.SQL(" AND ").join(sql.SQL("{}::text <> ''").format(sql.Identifier(each)) for each in columns),
        )
        for kind, columns in enumerate(together, 1)
    ]
    return render(
        _PAIRS.format(
            table=name,
            shortest=sql.Literal(shortest),
            equal=sql.SQL("").join(equal),
            most=sql.Literal(most),
            limit=sql.Literal(limit),
        )
    )


def rows(table: str, columns: Sequence[str]) -> str:
    def of(alias: str) -> sql.Composable:
        return sql.SQL(", ").join(sql.SQL(f"{alias}.{{}}::text").format(quoted(column)) for column in columns)

    return render(_ROWS.format(table=quoted(table), ones=of("a"), others=of("b")))
