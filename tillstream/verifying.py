"""The stores of tillstream.yaml, as `verify` and `resync` ask them."""

from collections.abc import Iterable
from functools import partial

from conflict.policy import Policy
from connectors.preflight import read_head, store_connection
from sinks.store_session import Patience, StoreSource
from sinks.verification.run import Verification
from sinks.warehouse import Warehouse
from tillstream.config import Config, Store

SCAN_SECONDS = 600  # a table whose key is no integer is hashed in one statement, on an old till's processor


def verification_for(
    config: Config,
    policy: Policy,
    warehouse: Warehouse,
    *,
    patience: Patience = Patience(),  # noqa: B008 - frozen
) -> Verification:
    return Verification(store_sources(config.stores), policy, warehouse, patience=patience)


def store_sources(stores: Iterable[Store]) -> list[StoreSource]:
    return [_source(store) for store in stores]


def _source(store: Store) -> StoreSource:
    return StoreSource(
        id=store.id,
        connect=partial(store_connection, store, read_seconds=SCAN_SECONDS),
        head=partial(read_head, store),
    )
