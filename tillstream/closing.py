"""The stores of tillstream.yaml, as the day's close asks them."""

import datetime as dt
from functools import partial

from connectors.preflight import read_head, store_connection
from sinks.business_days import ASK_SECONDS, AskedStore, BusinessDay, last_ended
from sinks.store_session import StoreSource
from tillstream.config import Config, Store


def asked_stores(config: Config, date: dt.date | None, now: dt.datetime) -> list[AskedStore]:
    """On this date, or on each store's last business day that is over."""
    return [_asked(store, date, now) for store in config.stores]


def _asked(store: Store, date: dt.date | None, now: dt.datetime) -> AskedStore:
    date = date or last_ended(now, store.day_ends_at, store.timezone)
    return AskedStore(
        source=StoreSource(
            id=store.id,
            connect=partial(store_connection, store, read_seconds=ASK_SECONDS + 5),
            head=partial(read_head, store),
        ),
        name=store.name,
        database=store.database,
        day=BusinessDay(date=date, ends_at=store.day_ends_at, timezone=store.timezone),
    )
