"""One process of the ceiling: batches of ready rows into PostgreSQL, and nothing else."""

import os
import pickle
import sys
import time
from pathlib import Path
from typing import Any

import psycopg

from tillstream.rehearsal.bench_peers_day import POSTGRES, TABLES
from tillstream.rehearsal.bench_peers_sinks import STAMPS, STAMPS_DDL


def main() -> None:
    batches = list(_batches(Path(sys.argv[1])))
    with psycopg.connect(os.environ["CEILING_URL"]) as connection:
        statements = {table: _statements(table) for table in TABLES}
        for create, _, _ in statements.values():
            connection.execute(create)
        connection.commit()
        for batch in batches:
            for table, rows in batch.items():
                if not rows:
                    continue
                _, copy, upsert = statements[table]
                with connection.cursor() as cursor:
                    with cursor.copy(copy) as into:
                        for row in rows:
                            into.write_row(row)
                    cursor.execute(upsert)
            connection.commit()
        time.sleep(3600)  # who measures it looks at it once more, and ends it


def _batches(path: Path) -> Any:
    with path.open("rb") as file:
        while True:
            try:
                yield pickle.load(file)
            except EOFError:
                return


def _statements(table: str) -> tuple[bytes, bytes, bytes]:
    columns = ", ".join(f"{name} {POSTGRES[kind]}" for name, kind in TABLES[table].items())
    names = [*TABLES[table], *STAMPS]
    assignments = ", ".join(f"{name} = EXCLUDED.{name}" for name in names if name not in ("_store", "_pk"))
    return (
        f"CREATE TEMP TABLE stage_{table} ({columns}{STAMPS_DDL}) ON COMMIT DELETE ROWS".encode(),
        f"COPY stage_{table} FROM STDIN".encode(),
        f"INSERT INTO {table} SELECT * FROM stage_{table} ORDER BY _store, _pk ON CONFLICT (_store, _pk) DO UPDATE SET"
        f" {assignments}".encode(),
    )


if __name__ == "__main__":
    main()
