"""What something a person may say of a store would make of central.*, for that person to read."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sinks.previews import Preview


def in_words(preview: "Preview") -> list[str]:
    values = ", ".join(f"{column} {count:,}" for column, count in sorted(preview.values.items()))
    lines = [
        f"  {preview.table}: of {preview.keys:,} keys {preview.rows_gone:,} rows go, {preview.rows_back:,} come back;"
        f" values that change: {values or 'none'}"
    ]
    if preview.undecided:
        lines.append(f"    of {preview.undecided:,} keys nobody can tell: a rule of theirs cannot decide them")
    return lines + [f"    {key} {column}: {now} -> {then}" for key, column, now, then in preview.samples]


def plain(preview: "Preview") -> dict[str, Any]:
    samples = [{"key": key, "column": column, "now": now, "then": then} for key, column, now, then in preview.samples]
    return {**asdict(preview), "values": dict(preview.values), "samples": samples}
