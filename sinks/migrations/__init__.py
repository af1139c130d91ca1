"""The versions of the bookkeeping schema, as numbered files; a warehouse with a newer one is refused."""

from importlib import resources


def available() -> dict[int, str]:
    """version → SQL, in order."""
    files = sorted(entry.name for entry in resources.files(__name__).iterdir() if entry.name.endswith(".sql"))
    return {int(name.split("_")[0]): resources.files(__name__).joinpath(name).read_text() for name in files}


LATEST = max(available())
