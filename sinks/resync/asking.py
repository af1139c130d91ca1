"""Rows of which the log does not tell a value for certain: noted with the row, asked of the store soon after."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sinks.nul_escape import escape_nul, unescape_nul
from sinks.resync import requests
from sinks.row_codec import RowCodec
from sinks.warehouse import Transaction
from tillstream.envelope import ChangeEvent

MOST_AT_ONCE = 500  # more of one table, and the whole table is read anew
UNTOLD = "its log does not tell these values for certain"

_NOTE = """\
INSERT INTO tillstream.to_ask (store, database, table_name, key)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::jsonb[])"""


def ask_for_rows(tx: Transaction, rows: Sequence[tuple[str, RowCodec, ChangeEvent]]) -> None:
    """In the transaction that brings the rows. A snapshot's are too many to be asked for one by one.

    A row without a key cannot be asked for: what it has is what stays.
    """
    tables = defaultdict(list)
    for store, codec, event in rows:
        if not codec.keyless:
            tables[store, codec.version.database, codec.version.table].append((codec, event))
    for (store, database, table), found in tables.items():
        if len(found) > MOST_AT_ONCE or any(event.op == "r" for _, event in found):
            requests.add(tx, store, UNTOLD, database=database, table=table)
        else:
            keys = [json.dumps(_key(codec, event)) for codec, event in found]
            count = len(keys)
            tx.execute(_NOTE, [[store] * count, [database] * count, [table] * count, keys])


def _key(codec: RowCodec, event: ChangeEvent) -> dict[str, object]:
    image = event.after if event.after is not None else event.before
    assert image is not None
    return {name: _kept(image[name], escape_nul) for name in codec.version.primary_key}


def as_logged(key: Mapping[str, Any]) -> dict[str, Any]:
    """A noted key as the log had it: jsonb has no NUL."""
    return {name: _kept(value, unescape_nul) for name, value in key.items()}


def _kept(value: Any, change: Callable[[str], str]) -> Any:
    return change(value) if isinstance(value, str) else value
