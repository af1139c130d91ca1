"""The lanes into PostgreSQL by Pathway; run by the benchmark, in a Python of its own.

Its Debezium connector reads one table a topic, and its JSON connector knows of no order: the last record of each key is
found by `deduplicate`, Pathway's own way to keep one row a key.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pathway as pw


def main() -> None:
    task = json.loads(Path(sys.argv[1]).read_text())
    records = read(task)
    for table, types in task["tables"].items():
        write(task, records, table, types)
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)


class Record(pw.Schema):  # type: ignore[misc]
    op: str | None = pw.column_definition(default_value=None)  # none: a schema change
    table: str | None = pw.column_definition(default_value=None)
    pos: int = pw.column_definition(default_value=0)
    before: pw.Json | None = pw.column_definition(default_value=None)
    after: pw.Json | None = pw.column_definition(default_value=None)


def read(task: Any) -> Any:
    payload = "/payload" if task["form"] == "schema" else ""
    paths = {
        "op": f"{payload}/op", "table": f"{payload}/source/table", "pos": f"{payload}/source/pos",
        "before": f"{payload}/before", "after": f"{payload}/after",
    }  # fmt: skip
    lanes = [
        pw.io.kafka.read(
            {
                "bootstrap.servers": task["kafka"], "group.id": f"{task['group']}-{name}",
                "auto.offset.reset": "earliest", "session.timeout.ms": "10000", "enable.auto.commit": "false",
            },
            topic=name, schema=Record, format="json", json_field_paths=paths, autocommit_duration_ms=500,
            max_backlog_size=25_000,  # or all there is comes into memory at once
        )
        for name in task["topics"]
    ]  # fmt: skip
    return lanes[0].concat_reindex(*lanes[1:]) if len(lanes) > 1 else lanes[0]


def write(task: Any, records: Any, table: str, types: dict[str, str]) -> None:
    own = records.filter((pw.this.table == table) & pw.this.op.is_not_none())
    own = own.select(own.pos, own.op, image=pw.coalesce(own.after, own.before))
    own = own.filter(own.image.is_not_none())
    own = own.with_columns(key=pw.unwrap(own.image["row_id"].as_int()))
    last = own.deduplicate(value=own.pos, instance=own.key, acceptor=lambda new, old: new >= old)
    there = last.filter(last.op != "d")
    rows = there.select(**{name: column(there.image[name], kind) for name, kind in types.items()})
    pw.io.postgres.write(
        rows, task["postgres"], table, output_table_type="snapshot", primary_key=[rows.row_id], max_batch_size=10_000
    )


def column(value: Any, kind: str) -> Any:
    match kind:
        case "BIGINT":
            return pw.unwrap(value.as_int())
        case "INT":
            return value.as_int()
        case "DATETIME":
            return pw.unwrap(value.as_int()).dt.from_timestamp(unit="us")
        case _:
            return value.as_str()


if __name__ == "__main__":
    main()
