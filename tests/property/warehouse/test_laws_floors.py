"""Nothing older overwrites anything newer, nothing comes back, and absent is not NULL: on a real PostgreSQL."""

from dataclasses import replace

import msgspec
from fake_store import DATABASE, FakeStore, column
from hypothesis import given
from hypothesis import strategies as st
from lanes import RecordedLanes
from lived import EVENTS, POLICY, Act, histories, lived, member, new_tables
from ways import Place, Way, assert_truth, few

from sinks.policy_switch import switch_policy
from sinks.retrying import retry_letter
from sinks.row_codec import Shapes


@given(history=histories, start=st.integers(0, 60), length=st.integers(1, 60))
@few
def test_an_older_event_changes_nothing(place: Place, history: list[Act], start: int, length: int) -> None:
    """Any part of the log's stream that comes again, and all rows of finished snapshots, by a new worker."""
    store = lived("s1", history)
    place.empty()
    place.take_in([store], Way())
    before = place.everything()
    log = store.log
    first = log.restart(len(log), 10_000)
    again = RecordedLanes()
    if not {"add", "add_null", "drop"} & {each[0] for each in history}:  # else they fit the table no more
        again.record([log.rows_of_finished_snapshots("members")])
    if first < len(log):
        begin = first + start % (len(log) - first)
        again.record([log.batch(begin, min(len(log), begin + length))])
    place.run_all([again])
    assert place.everything() == before


@given(history=histories)
@few
def test_a_change_never_overwrites_a_later_one(place: Place, history: list[Act]) -> None:
    """Even where no position protects them: with the ledger set back, each older row image is refused by its stamp."""
    store = lived("s1", [each for each in history if each[0] in EVENTS and "note" not in each[0]])
    place.empty()
    place.take_in([store], Way())
    before = place.everything()
    place.rows("UPDATE tillstream.ledger SET file = 0, pos = 0, row = -1, ord = -1 RETURNING store")
    log = store.log
    lanes = RecordedLanes()
    first = log.restart(len(log), 10_000)
    lanes.record([log.batch(index, index + 1) for index in range(first, len(log))])
    place.run_all([lanes])
    after = place.everything()
    assert after["stores.members"] == before["stores.members"]
    assert after["stores.sales"] == before["stores.sales"]
    assert after["central.members"] == before["central.members"]


def test_a_row_below_its_floor_does_not_live_whenever_it_comes(place: Place) -> None:
    """An event that was set aside before a TRUNCATE and is retried after it brings nothing back."""
    store = lived("s1", [])
    store.insert("members", member(4, 1))
    event = store.log.entries[-1].event
    store.truncate("members")
    place.take_in([store], Way())
    place.rows("DELETE FROM stores.members WHERE _pk = '4' RETURNING _pk")
    assert event.source is not None
    (letter,) = place.rows(
        "INSERT INTO tillstream.dead_letters"
        " (store, database, table_name, pk, epoch, file, pos, row, ord, op, reason, event)"
        " VALUES ('s1', %s, 'members', '4', 1, 1, %s, 0, 0, 'c', 'set aside', %s) RETURNING id",
        *(DATABASE, event.source.pos, msgspec.json.encode(event)),
    )
    policy_id = switch_policy(place.warehouse, Shapes(POLICY))
    retry_letter(place.warehouse, Shapes(POLICY, policy_id), letter["id"])
    assert place.live("members", store) == {}
    assert place.central() == {}


def test_a_truncate_right_where_the_snapshot_stood_leaves_nothing(place: Place) -> None:
    """Without GTIDs it begins at the very position that the snapshot's rows carry, and yet is later than they are."""
    store = lived("s1", [])
    store.snapshot()
    store.truncate("members", moves_log=False)
    place.take_in([store], Way())
    assert place.live("members", store) == {}
    assert_truth(place, [store])


def test_an_unfinished_snapshot_sweeps_nothing(place: Place) -> None:
    """Rows it had not come to yet stay until one is finished that does not find them."""
    store = lived("s1", [("insert", 3, 3, 0)])
    place.take_in([store], Way())
    before = place.live("members", store)
    store.stop_listening()
    store.delete("members", (0,))
    store.snapshot(stop_after=1)
    place.take_in([store], Way())
    assert place.live("members", store).keys() == before.keys()
    store.snapshot()
    place.take_in([store], Way())
    assert_truth(place, [store])


def test_a_store_that_begins_anew_before_its_first_snapshot_ended_is_followed(place: Place) -> None:
    """The resync that brings its rows waits for a store whose snapshot is done: nothing else would ever say so."""
    store = FakeStore("s1", new_tables())
    store.insert("members", member(0, 0))
    store.snapshot(stop_after=1)
    place.take_in([store], Way())
    assert place.rows("SELECT snapshot_done FROM tillstream.ledger") == [{"snapshot_done": False}]
    start = len(store.log)
    store.snapshot()
    whole = store.log.batch(start, len(store.log))
    lanes = RecordedLanes()
    lanes.record([replace(whole, events=[each for each in whole.events if each.op is None], schema_only=True)])
    place.run_all([lanes])
    assert place.rows("SELECT snapshot_done FROM tillstream.ledger") == [{"snapshot_done": True}]


def test_absent_is_not_null(place: Place) -> None:
    """A store without the column takes no part in deciding it; one with NULL in it does."""
    one, other = lived("s1", []), lived("s2", [])
    other.tick(100)
    one.add_column("members", column("extra", "INT"))
    one.update("members", (0,), extra=3)
    other.update("members", (0,), name="later")
    place.take_in([one, other], Way())
    assert place.central()["p0"]["extra"] == 3
    other.add_column("members", column("extra", "INT"))
    other.tick(100)
    other.update("members", (0,), extra=4)
    other.update("members", (0,), extra=None)
    place.take_in([one, other], Way())
    assert place.central()["p0"]["extra"] is None
    other.drop_column("members", "extra")
    place.take_in([one, other], Way())
    assert place.central()["p0"]["extra"] == 3
    assert_truth(place, [one, other])
