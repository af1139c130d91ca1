"""The rehearsed chain and its clock, without a server."""

from conflict.identity import normalise
from conflict.policy import Normaliser, RuleName
from conflict.policy_file import parse_policy
from tillstream.checked_yaml import load
from tillstream.rehearsal import latency
from tillstream.rehearsal.incidents import incidents
from tillstream.rehearsal.latency import percentiles
from tillstream.rehearsal.shop import EVERYWHERE, POLICIES, TABLES, people, seed_rows, spelled
from tillstream.rehearsal.tills import LoggedRow, Outage

NAMES = ("中山路店", "人民广场店", "南京路店")


def test_a_seed_makes_the_same_shop_again() -> None:
    """Shops differ from each other and from those of another seed, never from themselves."""
    assert seed_rows(7, 1) == seed_rows(7, 1)
    assert seed_rows(7, 1)["members"] != seed_rows(7, 2)["members"]
    assert seed_rows(7, 1)["members"] != seed_rows(8, 1)["members"]
    assert set(seed_rows(7, 0)) == set(TABLES)


def test_one_person_is_written_in_five_ways_and_stays_one() -> None:
    """Whatever a shop makes of a phone number, the policies' normaliser finds the same person."""
    for person in people(7):
        written = {spelled(person.phone, store) for store in range(5)}
        assert len(written) == 5
        assert {normalise(Normaliser.PHONE_CN, text) for text in written} == {f"+86{person.phone}"}


def test_everybody_of_the_chains_core_is_in_every_shop_under_an_id_of_its_own() -> None:
    """Incidents count on finding them; local ids tell nothing."""
    places = []
    for store in range(3):
        phones = [row[1] for row in seed_rows(7, store)["members"]]
        places.append([phones.index(spelled(person.phone, store)) for person in people(7)[:EVERYWHERE]])
    assert places[0] != places[1] != places[2]


def test_the_policies_are_policies(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """The file that the demo writes is accepted, and points add up."""
    (tmp_path / "policies.yaml").write_text(POLICIES, encoding="utf-8")
    policy = parse_policy(load(tmp_path / "policies.yaml", remedy=""), {"s001": {}})
    assert policy.tables["members"].rule_for("points").rule is RuleName.SUM
    assert policy.tables["products"].rule_for("price").stores == ("s001",)


def test_contests_find_two_shops_at_one_moment() -> None:
    """Each told contest is in two diaries; one shop alone has no contest, yet it goes dark too."""
    day = incidents(NAMES, seconds=20, seed=7)
    for contest in (each for each in day if "both" in each.told):
        assert len({each.store for each in day if each.at == contest.at}) == 2
    assert [each.store for each in day if "dark" in each.told] == [2]
    alone = incidents(NAMES[:1], seconds=20, seed=7)
    assert {each.store for each in alone} == {0}
    assert not any("both" in each.told for each in alone)


def test_percentiles_name_a_value_that_was_measured() -> None:
    """Of a hundred rows the 99th percentile is the last but none; of none there is nothing to say."""
    found = percentiles(float(ms) for ms in range(1, 101))
    assert found is not None
    assert (found.rows, found.p50, found.p99, found.most) == (100, 51.0, 100.0, 100.0)
    assert percentiles([]) is None


def test_what_waited_for_a_dark_shop_is_counted_apart(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """From going dark to the first row that came in after it; later rows of the shop count as live again."""
    ms = 1_000_000
    log = [
        LoggedRow("s001", "payments", "1", 100 * ms),
        LoggedRow("s002", "payments", "1", 100 * ms),
        LoggedRow("s002", "payments", "2", 3_100 * ms),  # back at 3000, found again at 8000
        LoggedRow("s002", "payments", "3", 9_000 * ms),
        LoggedRow("s002", "payments", "4", 9_001 * ms),
    ]
    arrivals = {log[0][:3]: 120 * ms, log[1][:3]: 130 * ms, log[2][:3]: 8_000 * ms, log[3][:3]: 9_040 * ms}
    monkeypatch.setattr(latency, "_arrivals", lambda warehouse: arrivals)
    outage = Outage(store="s002", dark_ns=1_000 * ms, back_ns=3_000 * ms)
    found = latency.measure(None, log, [outage])  # type: ignore[arg-type]
    assert found.live is not None
    assert (found.live.rows, found.live.most) == (3, 40.0)
    assert found.after_outage is not None
    assert (found.after_outage.rows, found.after_outage.most) == (1, 4_900.0)
    assert found.missing == (log[4],)
