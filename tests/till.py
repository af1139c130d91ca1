"""A till in a process of its own: how long its statements take is the store's doing, not this process's.

`python till.py '{"port": ..., "user": ..., ...}' FIRST ROWS PER_SECOND` works until its stdin ends, and prints how many
seconds each statement took.
"""

import json
import select
import sys
import time
from typing import Any

import pymysql


def work(login: dict[str, Any], first: int, rows: int, per_second: int) -> list[float]:
    """On a table `big` of so many rows; the ids of new ones go on from `first`."""
    took: list[float] = []
    number, due = 0, time.monotonic()
    connection = pymysql.connect(**login, autocommit=True)
    with connection, connection.cursor() as cursor:
        while not select.select([sys.stdin], [], [], max(due - time.monotonic(), 0))[0]:
            number += 1
            due += 1 / per_second
            row = number * 7919 % rows + 1
            text = (
                f"UPDATE big SET n = n + 1 WHERE id = {row}",
                f"INSERT INTO big (id, a, n) VALUES ({first + number}, 'new', 0)",
                f"DELETE FROM big WHERE id = {row}",
                f"SELECT * FROM big WHERE id = {row}",
            )[number % 4]
            began = time.perf_counter()
            cursor.execute(text)
            took.append(time.perf_counter() - began)
    return took


if __name__ == "__main__":
    print(json.dumps(work(json.loads(sys.argv[1]), *map(int, sys.argv[2:]))))
