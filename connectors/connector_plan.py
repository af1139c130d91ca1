"""What has to be done so that Kafka and Kafka Connect have what a store is to have there: pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from connectors.connect import Connector, cause
from tillstream.config_file import SECRET_KEY

HIDDEN = "(hidden)"
_REFERENCE = re.compile(r"\$\{[^{}]+\}")
_OWN_KEY = "name"  # Connect writes it into each configuration


class Action(StrEnum):
    """In this order: two connectors may never read one log into one lane, and none may write without its topics."""

    MAKE_TOPIC = "make topic"
    SET_TOPIC = "set topic"
    REMOVE = "remove"
    DELETE_TOPIC = "delete topic"
    CREATE = "create"
    CHANGE = "change"
    RESUME = "resume"
    RESTART = "restart"
    STOP = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """None: the key is not there. Of a secret neither value is known here."""

    key: str
    present: str | None
    wanted: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    action: Action
    store: str
    name: str  # of a connector, or of a topic
    reason: str
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A store's connector as tillstream.yaml, the store itself and the warehouse want it."""

    store: str
    name: str
    options: Mapping[str, str]
    topics: Mapping[str, Mapping[str, str]]  # with how each is set
    anew: str = ""  # why it begins anew


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What there is of a store; its topics with how they are set."""

    connectors: Mapping[str, Connector] = field(default_factory=dict)
    topics: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    histories: frozenset[str] = frozenset()  # those of the topics that are


def to_run(wanted: Wanted, found: Found) -> tuple[Step, ...]:
    """Nothing, where all is as it should be."""
    store = wanted.store
    steps = [*_topics(wanted, found)]
    earlier = "it is not the one that the warehouse goes by now"
    gone = [
        *((Action.REMOVE, name) for name in sorted(found.connectors.keys() - {wanted.name})),
        *((Action.DELETE_TOPIC, topic) for topic in sorted(found.histories - wanted.topics.keys())),
    ]
    steps += [Step(action=action, store=store, name=name, reason=earlier) for action, name in gone]
    present = found.connectors.get(wanted.name)
    if present is None:
        reason = f"{wanted.anew}; the store is read anew" if wanted.anew else "there is none yet"
        steps.append(Step(action=Action.CREATE, store=store, name=wanted.name, reason=reason))
        return tuple(steps)
    if differences := differing(present.config, wanted.options):
        steps.append(
            Step(
                action=Action.CHANGE,
                store=store,
                name=wanted.name,
                reason="it is not configured as tillstream.yaml wants it",
                differences=differences,
            )
        )
    if present.state in ("STOPPED", "PAUSED"):
        reason = f"it is {present.state.lower()}"
        steps.append(Step(action=Action.RESUME, store=store, name=wanted.name, reason=reason))
    elif present.has_failed:
        reason = f"it has failed: {cause(present.trace)}"
        steps.append(Step(action=Action.RESTART, store=store, name=wanted.name, reason=reason))
    return tuple(steps)


def to_rest(store: str, found: Found, reason: str) -> tuple[Step, ...]:
    """Where it stood is kept."""
    return tuple(
        Step(action=Action.STOP, store=store, name=name, reason=reason)
        for name, present in sorted(found.connectors.items())
        if present.state != "STOPPED"
    )


def to_remove(store: str, found: Found, reason: str) -> tuple[Step, ...]:
    """The lane stays: what is in it may not be in the warehouse yet."""
    return (
        *(Step(action=Action.REMOVE, store=store, name=name, reason=reason) for name in sorted(found.connectors)),
        *(Step(action=Action.DELETE_TOPIC, store=store, name=name, reason=reason) for name in sorted(found.histories)),
    )


def differing(present: Mapping[str, str], wanted: Mapping[str, str]) -> tuple[Difference, ...]:
    """In which keys a configuration is not the one that is wanted."""
    return tuple(
        Difference(key=key, present=_shown(key, present.get(key)), wanted=_shown(key, wanted.get(key)))
        for key in sorted(present.keys() | wanted.keys())
        if key != _OWN_KEY and present.get(key) != wanted.get(key)
    )


def _topics(wanted: Wanted, found: Found) -> Iterable[Step]:
    for name, settings in wanted.topics.items():
        present = found.topics.get(name)
        if present is None:
            yield Step(action=Action.MAKE_TOPIC, store=wanted.store, name=name, reason="there is none yet")
        elif differences := differing({key: present.get(key, "") for key in settings}, settings):
            yield Step(
                action=Action.SET_TOPIC,
                store=wanted.store,
                name=name,
                reason="it is not set as tillstream.yaml wants it",
                differences=differences,
            )


def _shown(key: str, value: str | None) -> str | None:
    """A reference to a secret is none."""
    if value is None or not SECRET_KEY.search(key) or _REFERENCE.fullmatch(value):
        return value
    return HIDDEN
