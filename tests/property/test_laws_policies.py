"""What `policy diff` says beforehand of stores' rows is what the switch brings, value by value."""

from types import MappingProxyType

from hypothesis import given, settings
from hypothesis import strategies as st
from lived import POLICY, STORES, Act, histories, lived
from ways import Place, Way, few

from conflict.policy import ColumnRule, Deletes, KeyPart, Normaliser, Policy, RuleName, TablePolicy
from sinks.policy_switch import switch_policy
from sinks.policy_trial import PolicyTrial
from sinks.row_codec import Shapes

NUMBERS = ("points", "wallet", "level")
KEYS = (
    (KeyPart(column="phone", normaliser=Normaliser.TRIM),),
    (KeyPart(column="phone", normaliser=Normaliser.TRIM, stop=frozenset({"p1"})),),
    (KeyPart(column="phone", normaliser=Normaliser.DIGITS),),
    (KeyPart(column="name", normaliser=Normaliser.UPPER),),
    (KeyPart(column="phone", normaliser=Normaliser.TRIM), KeyPart(column="level", normaliser=Normaliser.EXACT)),
)
orders = st.permutations(STORES).flatmap(
    lambda all_: st.sampled_from(
        [tuple((each,) for each in all_[:n]) for n in (1, 2, 3)]
        + [((all_[0], all_[1]), (all_[2],)), (tuple(all_[:2]),)]
    )
)


def rules(column: str) -> st.SearchStrategy[ColumnRule]:
    plain = [RuleName.LATEST, RuleName.EARLIEST, RuleName.MAX, RuleName.MIN, RuleName.PER_STORE]
    plain += [RuleName.SUM] if column in NUMBERS else [RuleName.UNION]
    simple = st.builds(ColumnRule, rule=st.sampled_from(plain))
    deciding = simple.filter(lambda rule: rule.rule is not RuleName.PER_STORE)
    then = st.none() | deciding
    return st.one_of(
        simple,
        st.builds(ColumnRule, rule=st.just(RuleName.CONSTANT), value=st.sampled_from(["7", None])),
        st.builds(ColumnRule, rule=st.just(RuleName.FIRST_NON_NULL), ranks=orders),
        st.builds(ColumnRule, rule=st.just(RuleName.PRIORITY), ranks=orders, then=then),
        st.builds(
            ColumnRule,
            rule=st.sampled_from([RuleName.MAJORITY, RuleName.EQUAL_OR_FLAG, RuleName.REVIEW]),
            then=then,
        ),
        st.builds(
            ColumnRule,
            rule=st.sampled_from([RuleName.HIGHEST, RuleName.LOWEST]),
            order=st.just(("1", "n1", "0", "n0")),
            then=then,
        ),
    )


def policies_of(key: tuple[KeyPart, ...]) -> st.SearchStrategy[TablePolicy]:
    named = [name for name in ("name", "address", "email", *NUMBERS) if name not in {part.column for part in key}]
    return st.builds(
        TablePolicy,
        table=st.just("members"),
        key=st.just(key),
        columns=st.fixed_dictionaries({name: rules(name) for name in named}).map(MappingProxyType),
        deletes=st.sampled_from(list(Deletes)),
    )


def policy_of(members: TablePolicy | None) -> Policy:
    tables = {} if members is None else {"members": members}
    return Policy(version=1, tables=MappingProxyType(tables), fingerprint=repr(sorted(tables.items())))


some_policy = (st.none() | st.sampled_from(KEYS).flatmap(policies_of)).map(policy_of)


def central_texts(place: Place) -> dict[str, dict[str, str | None]]:
    """Of central.members, every column as text and the store it came from."""
    if not place.rows("SELECT 1 FROM pg_tables WHERE schemaname = 'central' AND tablename = 'members'"):
        return {}
    found = {}
    for row in place.rows("SELECT to_jsonb(t) - '_key' AS row, t._key, t._winners FROM central.members t"):
        names = [name for name in row["row"] if not name.startswith("_")]
        shown = place.rows(
            "SELECT " + ", ".join(f'"{name}"::text' for name in names) + " FROM central.members WHERE _key = %s",
            row["_key"],
        )[0]
        found[row["_key"]] = {**shown, "_winners": row["_winners"]}
    return found


@given(history=st.tuples(histories, histories, histories), old=some_policy, new=some_policy)
@settings(few, max_examples=25)
def test_what_a_trial_predicts_is_what_the_switch_brings(
    place: Place, history: tuple[list[Act], ...], old: Policy, new: Policy
) -> None:
    """Every value that changes, whose it was and whose it becomes, and every row that comes or goes."""
    place.empty()
    stores = [lived(name, each, policy=POLICY) for name, each in zip(STORES, history, strict=True)]
    switch_policy(place.warehouse, Shapes(old))
    place.take_in(stores, Way(), old)
    before, everything = central_texts(place), place.everything()

    with place.warehouse.transaction() as tx:
        (*predicted,) = PolicyTrial(tx, Shapes(old), Shapes(new), samples=1000, most_keys=None).run()
    assert place.everything() == everything, "a trial writes nothing"

    switch_policy(place.warehouse, Shapes(new))
    for store in stores:
        store.heartbeat()
    place.take_in(stores, Way(), new)
    after = central_texts(place)

    changed = {
        (key, column, row[column], after[key][column], row["_winners"].get(column), after[key]["_winners"].get(column))
        for key, row in before.items()
        if key in after
        for column in row
        if column != "_winners" and row[column] != after[key][column]
    }
    assert {
        (one.key, column, one.old, one.new, one.from_store, one.to_store)
        for each in predicted
        for column, samples in each.samples.items()
        for one in samples
    } == changed
    assert sum(each.values for each in predicted) == len(changed)
    assert sorted(key for each in predicted for key in each.samples_appearing) == sorted(set(after) - set(before))
    assert sorted(key for each in predicted for key in each.samples_disappearing) == sorted(set(before) - set(after))
    assert sum(each.appearing for each in predicted) == len(set(after) - set(before))
    assert sum(each.disappearing for each in predicted) == len(set(before) - set(after))
