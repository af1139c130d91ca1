"""`tillstream run` that takes each of its looks every second, however long that takes."""

import sys
from dataclasses import replace

import sinks.watching.business
import tillstream.pipeline
from tillstream.commands import main

if __name__ == "__main__":
    tillstream.pipeline.LOOKS = tuple(replace(look, every_seconds=1.0) for look in tillstream.pipeline.LOOKS)
    sinks.watching.business.SHARE = 1.0
    sys.exit(main())
