"""Where servers of tests live."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def directory_for_servers() -> Iterator[Path]:
    """Unlike tmp_path it may be entered by `nobody`, whom servers run as when root runs the tests."""
    directory = Path(tempfile.mkdtemp(prefix="tillstream-tests-"))
    directory.chmod(0o711)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
