"""Writes the dashboards' JSON files anew."""

from pathlib import Path

from dashboards import business, chain, conflicts, pipeline, store
from dashboards.board import as_json

DIRECTORY = Path(__file__).parent
FILES = {
    "chain.json": chain.dashboard,
    "store.json": store.dashboard,
    "conflicts.json": conflicts.dashboard,
    "pipeline.json": pipeline.dashboard,
    "business.json": business.dashboard,
}


def texts() -> dict[str, str]:
    """By file."""
    return {name: as_json(make()) for name, make in FILES.items()}


if __name__ == "__main__":
    for name, text in texts().items():
        (DIRECTORY / name).write_text(text, encoding="utf-8")
