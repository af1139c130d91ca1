"""The lanes into PostgreSQL by Quix Streams and its own sink for it; run by the benchmark, in a Python of its own."""

import json
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from quixstreams import Application
from quixstreams.sinks.community.postgresql import PostgreSQLSink

TABLE = "_table"
MIDNIGHT = datetime(1970, 1, 1)


def main() -> None:
    task = json.loads(Path(sys.argv[1]).read_text())
    application = Application(
        broker_address=task["kafka"], consumer_group=task["group"], auto_offset_reset="earliest", loglevel="WARNING",
        commit_interval=2.0, commit_every=20_000, use_changelog_topics=False,
        consumer_extra_config={"fetch.min.bytes": 1_000_000, "queued.min.messages": 50_000},
    )  # fmt: skip
    keys = {table: next(iter(types)) for table, types in task["tables"].items()}
    current: str = ""

    def table_of(item: Any) -> str:  # asked before the key is
        nonlocal current
        current = str(item.value.pop(TABLE))
        return current

    sink = PostgreSQLSink(
        **task["postgres"], table_name=table_of, schema_auto_update=False, include_metadata=False,
        primary_key_columns=lambda item: keys[current], upsert_on_primary_key=True,
    )  # fmt: skip
    read = reader(task)
    for name in task["topics"]:
        lane = application.dataframe(application.topic(name, value_deserializer="bytes"))
        lane.apply(read).filter(lambda row: row is not None).sink(sink)
    application.run()


def reader(task: Any) -> Any:
    wrapped = task["form"] == "schema"
    times = {
        table: [name for name, kind in types.items() if kind == "DATETIME"] for table, types in task["tables"].items()
    }

    def read(value: bytes) -> dict[str, Any] | None:
        """The row; nothing for a schema change. A row that is deleted is marked, for the sink cannot delete."""
        event = orjson.loads(value)
        if wrapped:
            event = event["payload"]
        if "op" not in event:
            return None
        row: dict[str, Any] = event["after"] or event["before"]
        table = event["source"]["table"]
        for name in times[table]:
            row[name] = MIDNIGHT + timedelta(microseconds=row[name])
        if "note" in row and row["note"] is None:
            row["note"] = ""  # the sink takes a batch's columns from its first row, where it leaves out what is null
        row["deleted"] = event["after"] is None
        row[TABLE] = table
        return row

    return read


if __name__ == "__main__":
    main()
