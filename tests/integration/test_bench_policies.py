"""`make bench-policies` in small: what it measures is what it says it is."""

from sinks.warehouse import Warehouse
from tillstream.rehearsal.bench_policies import run


def test_what_was_tried_is_what_the_switch_made(fresh_database: str) -> None:
    """Every row is there and decided under both policies; the values that the trial foretold are those that going back
    would change again; a store's changes went in all the while."""
    warehouse = Warehouse(fresh_database)
    warehouse.migrate()
    try:
        found = run(warehouse, 4, 2_000)
        with warehouse.transaction() as tx:
            central = tx.rows("SELECT count(*), count(*) FILTER (WHERE _policy = 3) FROM central.members")[0]
    finally:
        warehouse.dispose()
    assert found["contributions"] == 2_000
    assert central == (500, 500)
    assert 0 < found["diff"]["values"] == found["values_changed_back"]
    assert found["redecide"]["changes_meanwhile"] > 0
    assert found["other_key"]["changes_meanwhile"] > 0
