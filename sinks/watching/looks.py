"""What is looked at, and how often."""

from sinks.watching.database import tell_database
from sinks.watching.decisions import tell_contested, tell_waiting
from sinks.watching.shapes import tell_shapes
from sinks.watching.stores import tell_stores
from sinks.watching.traffic import EVERY_SECONDS, tell_traffic
from sinks.watching.watch import Look

OFTEN_SECONDS, SELDOM_SECONDS = 5.0, 300.0  # whoever scrapes does so every 15; what reads whole tables is seldom

LOOKS = (
    Look(name="stores", every_seconds=OFTEN_SECONDS, tell=tell_stores),
    Look(name="waiting", every_seconds=3 * OFTEN_SECONDS, tell=tell_waiting),
    Look(name="traffic", every_seconds=EVERY_SECONDS, tell=tell_traffic),
    Look(name="database", every_seconds=EVERY_SECONDS, tell=tell_database),
    Look(name="shapes", every_seconds=EVERY_SECONDS, tell=tell_shapes),
    Look(name="contested", every_seconds=SELDOM_SECONDS, tell=tell_contested),
)
