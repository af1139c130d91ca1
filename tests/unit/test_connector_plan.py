"""What has to be done in Kafka and Kafka Connect for one store, from what is wanted and what there is."""

from dataclasses import replace

from connectors.connect import Connector
from connectors.connector_plan import Action, Difference, Found, Step, Wanted, differing, to_remove, to_rest, to_run

LANE, HISTORY, NAME = "t.lane.s1", "t.history.s1.1", "t.s1.1"
OPTIONS = {"database.hostname": "10.0.1.5", "database.password": "${env:POS}"}
KEPT = {"retention.ms": "1000"}
WANTED = Wanted(store="s1", name=NAME, options=OPTIONS, topics={LANE: KEPT, HISTORY: KEPT})
RUNNING = Connector(name=NAME, state="RUNNING", config={**OPTIONS, "name": NAME}, task_state="RUNNING")
AS_WANTED = Found(
    connectors={NAME: RUNNING},
    topics={LANE: {**KEPT, "segment.ms": "5"}, HISTORY: KEPT},
    histories=frozenset({HISTORY}),
)


def brief(steps: tuple[Step, ...]) -> list[tuple[str, str]]:
    return [(step.action.value, step.name) for step in steps]


def with_connector(connector: Connector) -> Found:
    return replace(AS_WANTED, connectors={NAME: connector})


def test_where_all_is_as_wanted_there_is_nothing_to_do() -> None:
    """What Connect writes into a configuration, and what else is set of a topic, is no difference."""
    assert to_run(WANTED, AS_WANTED) == ()


def test_topics_come_before_the_connector_that_writes_to_them() -> None:
    assert brief(to_run(WANTED, Found())) == [("make topic", LANE), ("make topic", HISTORY), ("create", NAME)]


def test_a_connector_that_begins_anew_says_why() -> None:
    steps = to_run(replace(WANTED, anew="its binlog was purged"), replace(AS_WANTED, connectors={}))
    assert [step.reason for step in steps] == ["its binlog was purged; the store is read anew"]


def test_earlier_connectors_end_before_the_next_is_made() -> None:
    """Two may never read one log into one lane; a history belongs to one connector."""
    earlier = replace(RUNNING, name="t.s1.0")
    found = Found(connectors={"t.s1.0": earlier}, topics=AS_WANTED.topics, histories=frozenset({"t.history.s1.0"}))
    assert brief(to_run(WANTED, found)) == [
        ("remove", "t.s1.0"), ("delete topic", "t.history.s1.0"), ("create", NAME),
    ]  # fmt: skip


def test_a_difference_is_told_key_by_key_and_of_secrets_only_that_there_is_one() -> None:
    """A reference is no secret; a key that only one of both has is told as not set."""
    present = {"name": NAME, "database.hostname": "10.0.1.4", "database.password": "plain", "sasl.jaas.config": "x"}
    assert differing(present, OPTIONS) == (
        Difference(key="database.hostname", present="10.0.1.4", wanted="10.0.1.5"),
        Difference(key="database.password", present="(hidden)", wanted="${env:POS}"),
        Difference(key="sasl.jaas.config", present="(hidden)", wanted=None),
    )
    changed = to_run(WANTED, with_connector(replace(RUNNING, config=present)))
    assert brief(changed) == [("change", NAME)]
    assert len(changed[0].differences) == 3


def test_a_secret_that_is_another_is_a_difference_though_neither_is_shown() -> None:
    (found,) = differing({"ssl.key.password": "a"}, {"ssl.key.password": "b"})
    assert (found.present, found.wanted) == ("(hidden)", "(hidden)")


def test_a_topic_that_is_set_otherwise_is_set() -> None:
    found = replace(AS_WANTED, topics={LANE: {"retention.ms": "7"}, HISTORY: KEPT})
    (step,) = to_run(WANTED, found)
    assert (step.action, step.name) == (Action.SET_TOPIC, LANE)
    assert step.differences == (Difference(key="retention.ms", present="7", wanted="1000"),)


def test_what_rests_goes_on_and_what_has_failed_is_restarted_with_its_cause() -> None:
    for state in ("STOPPED", "PAUSED"):
        assert brief(to_run(WANTED, with_connector(replace(RUNNING, state=state)))) == [("resume", NAME)]
    trace = "org.apache.Outer: failed\n\tat x\nCaused by: java.Inner: the disk is full\n\tat y\n"
    (step,) = to_run(WANTED, with_connector(replace(RUNNING, task_state="FAILED", trace=trace)))
    assert (step.action, step.reason) == (Action.RESTART, "it has failed: java.Inner: the disk is full")


def test_a_store_that_rests_has_its_connector_stopped_once() -> None:
    assert brief(to_rest("s1", AS_WANTED, "paused")) == [("stop", NAME)]
    assert to_rest("s1", with_connector(replace(RUNNING, state="STOPPED")), "paused") == ()
    assert to_rest("s1", Found(), "paused") == ()


def test_what_is_removed_leaves_its_lane() -> None:
    assert brief(to_remove("s1", AS_WANTED, "gone")) == [("remove", NAME), ("delete topic", HISTORY)]
