"""How each store is doing, in figures."""

import math
from collections.abc import Mapping

from sinks.store_states import BINLOG_SECONDS_LEFT
from sinks.warehouse import Transaction
from tillstream import metrics

# The state is what `run` itself reports, so it is told as it stands however long ago that was: `up` tells of `run`.
_STORES = f"""\
SELECT s.store, s.name, s.state, s.lag_seconds, s.capture_lag_seconds, floor(extract(epoch FROM s.complete_at))::float8,
       s.clock_offset_seconds,
       {BINLOG_SECONDS_LEFT},
       l.epoch, l.file, l.pos, floor(extract(epoch FROM l.last_event_at))::float8,
       floor(extract(epoch FROM l.moved_at))::float8,
       floor(extract(epoch FROM s.state_since))::float8
FROM tillstream.store_states s LEFT JOIN tillstream.ledger l USING (store) WHERE s.listed"""
_CHAIN = "SELECT floor(extract(epoch FROM complete_at))::float8 FROM tillstream.chain_watermark"
_READ_ANEW = "SELECT store, count(*) FROM tillstream.tables_to_read WHERE state <> 'failed' GROUP BY store"
_NOT_READ_ANEW = "SELECT store, count(*) FROM tillstream.tables_to_read WHERE state = 'failed' GROUP BY store"
_HELD = "SELECT store, count(*) FROM tillstream.holds WHERE released_at IS NULL GROUP BY store"

_BY_COLUMN = (
    metrics.STORE_LAG_SECONDS, metrics.STORE_CAPTURE_LAG_SECONDS, metrics.STORE_COMPLETE_TIMESTAMP_SECONDS,
    metrics.STORE_CLOCK_OFFSET_SECONDS, metrics.STORE_BINLOG_SECONDS_LEFT, metrics.STORE_EPOCH,
    metrics.STORE_POSITION_FILE, metrics.STORE_POSITION_BYTES, metrics.STORE_LAST_EVENT_TIMESTAMP_SECONDS,
    metrics.STORE_LAST_HEARTBEAT_TIMESTAMP_SECONDS, metrics.STORE_STATE_SINCE_TIMESTAMP_SECONDS,
)  # fmt: skip


def tell_stores(tx: Transaction) -> None:
    rows = tx.rows(_STORES)
    metrics.STORE_INFO.replace({(store, name): 1 for store, name, *_ in rows})
    metrics.STORE_STATE.replace({(store, state): 1 for store, _, state, *_ in rows})
    for at, metric in enumerate(_BY_COLUMN, start=3):
        metric.replace({(row[0],): _in_tenths(row[at]) for row in rows if row[at] is not None})
    complete_at = tx.value(_CHAIN) if rows else None
    metrics.CHAIN_COMPLETE_TIMESTAMP_SECONDS.replace({} if complete_at is None else {(): complete_at})
    stores = [row[0] for row in rows]
    # 0 where there is nothing: a store without trouble is told of, too
    metrics.STORE_TABLES_READ_ANEW.replace(_counted(tx, _READ_ANEW, stores))
    metrics.STORE_TABLES_NOT_READ_ANEW.replace(_counted(tx, _NOT_READ_ANEW, stores))
    metrics.STORE_HELD_TABLES.replace(_counted(tx, _HELD, stores))


def _in_tenths(seconds: float) -> float:
    """What a thousand stores tell is to stay small."""
    return math.floor(seconds * 10) / 10


def _counted(tx: Transaction, statement: str, stores: list[str]) -> Mapping[tuple[str, ...], float]:
    found = dict(tx.rows(statement))
    return {(store,): found.get(store, 0) for store in stores}
