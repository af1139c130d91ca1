"""When a key is gone, and what a deleted row still counts for."""

import pytest
from drawn_contributions import (
    COLUMNS,
    SECOND_US,
    contribution_lists,
    policy_of,
    row,
    rule_of,
    rules,
    text_of,
    values,
    with_facts,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from conflict.policy import Deletes, RuleName
from conflict.resolution import Contribution
from conflict.resolve import resolve


def inserted(each: Contribution, *, at: int) -> Contribution:
    return with_facts(each, inserted_us=at * SECOND_US)


@pytest.mark.parametrize(
    ("deletes", "contributions", "exists"),
    [
        (Deletes.LATEST, [row("s1", at=5), row("s2", at=4, deleted=True)], True),
        (Deletes.LATEST, [row("s1", at=5), row("s2", at=6, deleted=True)], False),
        (Deletes.LATEST, [row("s1", at=5), row("s2", at=5, deleted=True)], True),
        (Deletes.LATEST, [inserted(row("s1", at=9), at=4), row("s2", at=5, deleted=True)], True),
        (Deletes.ANY, [inserted(row("s1", at=9), at=4), row("s2", at=5, deleted=True)], False),
        (Deletes.ANY, [inserted(row("s1", at=9), at=5), row("s2", at=5, deleted=True)], True),
        (
            Deletes.ANY,
            [inserted(row("s1", at=9), at=4), inserted(row("s3", at=6), at=6), row("s2", at=5, deleted=True)],
            True,
        ),
        (Deletes.ALL, [row("s1", at=5), row("s2", at=6, deleted=True)], True),
        (Deletes.ALL, [row("s1", at=7, deleted=True), row("s2", at=6, deleted=True)], False),
        (Deletes.NEVER, [row("s1", at=7, deleted=True), row("s2", at=6, deleted=True)], True),
        *((deletes, [], False) for deletes in Deletes),
    ],
)
def test_deletes(deletes: Deletes, contributions: list[Contribution], exists: bool) -> None:
    """latest: by time, and a tie keeps the row; any: once one did after the last insert; all: once every store did;
    never: the last values outlive the rows."""
    assert resolve(policy_of(rule_of(RuleName.LATEST), deletes), COLUMNS, contributions).exists is exists


def test_a_store_that_has_the_row_again_has_not_deleted_it() -> None:
    """Deleted and inserted anew under another id while the clock ran backwards: its log's order counts."""
    again = [row("s1", at=20, deleted=True, pos=100, pk="1"), row("s1", at=15, pos=200, pk="2")]
    assert resolve(policy_of(rule_of(RuleName.LATEST)), COLUMNS, again).exists


@given(given_=contribution_lists(least=1), data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_deleted_row_counts_for_deletes_and_for_nothing_else(given_: list[Contribution], data: st.DataObject) -> None:
    """While any row lives, what a deleted one held decides no column."""
    policy = policy_of(data.draw(rules()), data.draw(st.sampled_from(list(Deletes))))
    others = [with_facts(each, values=data.draw(values)) if each.deleted else each for each in given_]
    if any(not each.deleted for each in given_):
        assert text_of(resolve(policy, COLUMNS, others)) == text_of(resolve(policy, COLUMNS, given_))
