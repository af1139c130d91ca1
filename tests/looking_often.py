"""`tillstream run` that looks at its stores and, in each way, at its warehouse every second."""

import sys
from dataclasses import replace
from functools import partial

import sinks.watching.business
import tillstream.pipeline
from tillstream.commands import main

OFTEN_SECONDS = 1.0

if __name__ == "__main__":
    pipeline = tillstream.pipeline
    sinks.watching.business.SHARE = 1.0
    pipeline.LOOKS = tuple(replace(look, every_seconds=OFTEN_SECONDS) for look in pipeline.LOOKS)
    pipeline.Pipeline = partial(pipeline.Pipeline, probe_seconds=OFTEN_SECONDS)  # type: ignore[misc]
    sys.exit(main())
