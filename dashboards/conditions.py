"""How a store stands, in one word and one number: what a store's state alone does not say.

Prometheus has numbers only, so each condition has one: the worse, the greater. A store that follows its log and has
nothing to tell (idle), one that cannot be reached (unreachable) and one of which nothing ever came (never seen) are
three different ones.
"""

from dataclasses import dataclass

from grafana_foundation_sdk.models.dashboard import ValueMap, ValueMapping, ValueMappingResult

from tillstream.states import StoreState

_HEARTBEAT = "tillstream_store_last_heartbeat_timestamp_seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    number: int
    word: str
    colour: str


RETIRED = Condition(number=0, word="retired", colour="#808080")
LIVE = Condition(number=1, word="live", colour="green")
IDLE = Condition(number=2, word="live, idle", colour="super-light-green")
PAUSED = Condition(number=3, word="paused", colour="yellow")
STARTING = Condition(number=4, word="starting", colour="super-light-blue")
SNAPSHOT = Condition(number=5, word="snapshot", colour="blue")
STOPPED = Condition(number=6, word="stopped", colour="orange")
NEVER_SEEN = Condition(number=7, word="never seen", colour="purple")
UNREACHABLE = Condition(number=8, word="unreachable", colour="red")
REFUSED = Condition(number=9, word="refused", colour="dark-red")

CONDITIONS = (RETIRED, LIVE, IDLE, PAUSED, STARTING, SNAPSHOT, STOPPED, NEVER_SEEN, UNREACHABLE, REFUSED)
NEEDS_SOMEBODY = STOPPED.number  # from here on
OF_STATE = {
    StoreState.RETIRED: RETIRED,
    StoreState.LIVE: LIVE,
    StoreState.PAUSED: PAUSED,
    StoreState.STARTING: STARTING,
    StoreState.SNAPSHOT: SNAPSHOT,
    StoreState.STOPPED: STOPPED,
    StoreState.UNREACHABLE: UNREACHABLE,
    StoreState.REFUSED: REFUSED,
}


def condition_of(selector: str = "") -> str:
    """The query of a number a store; `selector` narrows it to some: `store="s001"`."""
    present = ", ".join(filter(None, [selector, 'state!~"unreachable|stopped"']))
    never_seen = (
        f"max by (store) (tillstream_store_info{{{selector}}}) unless on (store) {_HEARTBEAT}"
        f" unless on (store) tillstream_store_state{{{present}}}"
    )
    idle = f"{_in_state(StoreState.LIVE, selector)} and on (store) (tillstream_store_hourly_events == 0)"
    states = " or ".join(f"{each.number} * {_in_state(state, selector)}" for state, each in OF_STATE.items())
    return (
        f"{NEVER_SEEN.number} * ({never_seen}) or {IDLE.number} * max by (store) ({idle}) or max by (store) ({states})"
    )


def in_words() -> tuple[ValueMapping, ...]:
    """Each number's word and colour."""
    words = {
        str(each.number): ValueMappingResult(text=each.word, color=each.colour, index=index)
        for index, each in enumerate(reversed(CONDITIONS))
    }
    return (ValueMap(words),)


def _in_state(state: StoreState, selector: str) -> str:
    matched = ", ".join(filter(None, [selector, f'state="{state.value}"']))
    return f"tillstream_store_state{{{matched}}}"
