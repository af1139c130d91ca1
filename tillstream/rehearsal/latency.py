"""How long a committed row was on its way: from the till's own clock after COMMIT to the warehouse's commit.

MySQL 5.6 dates its events in whole seconds, so the till's log is the only clock fine enough. The warehouse keeps
the time of each transaction (track_commit_timestamp); rows of the logged tables are inserted once and never
touched again, so that their xmin is the transaction that brought them.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from psycopg import sql

from sinks.warehouse import Warehouse
from tillstream.rehearsal.tills import LOGGED, LoggedRow, Outage

_ARRIVALS = sql.SQL("""\
SELECT _store, _pk, (extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000000000)::bigint
FROM stores.{table} WHERE _op = 'c' AND NOT _deleted""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentiles:
    """Of so many rows, in milliseconds."""

    rows: int
    p50: float
    p99: float
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """`missing` rows were committed in a shop and are not in the warehouse.

    A shop that went dark owes its rows until capture has found it again: those are counted in `after_outage`, from
    the moment it went dark to the moment at which the first of its rows since then came in, and nowhere else.
    """

    live: Percentiles | None
    after_outage: Percentiles | None
    missing: tuple[LoggedRow, ...]


def measure(warehouse: Warehouse, log: Sequence[LoggedRow], outages: Iterable[Outage]) -> Latency:
    arrivals = _arrivals(warehouse)
    found = [(row, arrivals[row[:3]]) for row in log if row[:3] in arrivals]
    windows = _windows(found, outages)
    live: list[float] = []
    late: list[float] = []
    for row, arrived_ns in found:
        during = any(start <= row.committed_ns <= end for start, end in windows[row.store])
        (late if during else live).append((arrived_ns - row.committed_ns) / 1e6)
    return Latency(
        live=percentiles(live),
        after_outage=percentiles(late),
        missing=tuple(row for row in log if row[:3] not in arrivals),
    )


def percentiles(milliseconds: Iterable[float]) -> Percentiles | None:
    """None where nothing was measured. A row may seem to arrive before its till heard of its own COMMIT."""
    ranked = sorted(milliseconds)
    if not ranked:
        return None
    at = [ranked[min(len(ranked) - 1, int(len(ranked) * part))] for part in (0.5, 0.99)]
    return Percentiles(rows=len(ranked), p50=round(at[0], 1), p99=round(at[1], 1), most=round(ranked[-1], 1))


def _arrivals(warehouse: Warehouse) -> dict[tuple[str, str, str], int]:
    """(store, table, pk) → time of the warehouse's commit in ns."""
    found: dict[tuple[str, str, str], int] = {}
    for table in sorted(LOGGED):
        with warehouse.transaction() as tx:
            for store, pk, at_ns in tx.rows(_ARRIVALS.format(table=sql.Identifier(table))):
                found[store, table, pk] = at_ns
    return found


def _windows(found: Iterable[tuple[LoggedRow, int]], outages: Iterable[Outage]) -> Mapping[str, list[tuple[int, int]]]:
    arrived = list(found)
    windows: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for outage in outages:
        since = [at for row, at in arrived if row.store == outage.store and row.committed_ns > outage.back_ns]
        windows[outage.store].append((outage.dark_ns, min(since, default=outage.back_ns)))
    return windows
