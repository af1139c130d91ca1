"""From where on a number is worth a look, and from where on somebody has to act: as colours."""

from dataclasses import dataclass

from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.models.dashboard import Threshold, ThresholdsMode

from dashboards.conditions import CONDITIONS

GOOD, WORTH_A_LOOK, BAD, PLAIN, UNKNOWN = "green", "orange", "red", "blue", "#808080"
MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The colour of the least numbers, and what it changes to from where on."""

    least: str
    steps: tuple[tuple[float, str], ...] = ()

    def build(self) -> ThresholdsConfig:
        steps = [Threshold(value, colour) for value, colour in ((None, self.least), *self.steps)]
        return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


COUNTED = Limits(least=PLAIN)  # neither good nor bad, however much it is
ANY_IS_WORTH_A_LOOK = Limits(least=GOOD, steps=((1, WORTH_A_LOOK),))
ANY_IS_BAD = Limits(least=GOOD, steps=((1, BAD),))


def rising(look: float, bad: float) -> Limits:
    return Limits(least=GOOD, steps=((look, WORTH_A_LOOK), (bad, BAD)))


def falling(look: float, bad: float) -> Limits:
    """The less, the worse."""
    return Limits(least=BAD, steps=((bad, WORTH_A_LOOK), (look, GOOD)))


def around_zero(look: float, bad: float) -> Limits:
    """The farther from zero on either side, the worse."""
    return Limits(least=BAD, steps=((-bad, WORTH_A_LOOK), (-look, GOOD), (look, WORTH_A_LOOK), (bad, BAD)))


# In seconds.
LAG = rising(MINUTE, 10 * MINUTE)
HEARTBEAT = rising(5 * MINUTE, HOUR)
COMPLETE = rising(15 * MINUTE, DAY)
BINLOG_LEFT = falling(3 * DAY, DAY)  # of a store that is behind: what is in already may be purged
NO_BINLOG_LEFT = "for ever, or not known"
CLOCK = around_zero(5, MINUTE)

CONDITION = Limits(least=CONDITIONS[0].colour, steps=tuple((each.number, each.colour) for each in CONDITIONS[1:]))
