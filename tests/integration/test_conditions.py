"""How a store stands, as the dashboards' query tells it: asked of Debian's own promtool."""

import subprocess
from pathlib import Path

import pytest
import yaml

from dashboards.conditions import (
    IDLE,
    LIVE,
    NEVER_SEEN,
    OF_STATE,
    STOPPED,
    UNREACHABLE,
    Condition,
    condition_of,
)
from tillstream.rehearsal.prometheus import Tools
from tillstream.states import StoreState

INFO = 'tillstream_store_info{store="s1", name="中山路店", instance="run:9464", job="run"}'
STATE = 'tillstream_store_state{{store="s1", state="{}", instance="run:9464", job="run"}}'
HEARTBEAT = 'tillstream_store_last_heartbeat_timestamp_seconds{store="s1", instance="run:9464", job="run"}'
HOURLY = 'tillstream_store_hourly_events{store="s1", instance="run:9464", job="run"}'


def seen(state: StoreState, **more: int) -> dict[str, int]:
    return {STATE.format(state.value): 1, HEARTBEAT: 60, **more}


CASES = [
    *[pytest.param(seen(state), condition, id=f"{state.value}") for state, condition in OF_STATE.items()],
    pytest.param(seen(StoreState.LIVE, **{HOURLY: 7}), LIVE, id="live and busy"),
    pytest.param(seen(StoreState.LIVE, **{HOURLY: 0}), IDLE, id="live and idle"),
    pytest.param(seen(StoreState.UNREACHABLE, **{HOURLY: 0}), UNREACHABLE, id="dark is not idle"),
    pytest.param({}, NEVER_SEEN, id="not even reported"),
    pytest.param({STATE.format("unreachable"): 1}, NEVER_SEEN, id="never reached"),
    pytest.param({STATE.format("stopped"): 1}, NEVER_SEEN, id="stopped before it was seen"),
    pytest.param({STATE.format("starting"): 1}, OF_STATE[StoreState.STARTING], id="new, and starting"),
    pytest.param({STATE.format("refused"): 1}, OF_STATE[StoreState.REFUSED], id="refused from the start"),
    pytest.param({STATE.format("stopped"): 1, HEARTBEAT: 60}, STOPPED, id="stopped"),
]


@pytest.mark.parametrize(("told", "condition"), CASES)
def test_each_store_has_one_condition(
    prometheus_tools: Tools, tmp_path: Path, told: dict[str, int], condition: Condition
) -> None:
    """Idle, dead and never seen are three; each store has exactly one, narrowed to it or not."""
    (tmp_path / "none.yaml").write_text("groups: []\n")
    expected = [{"labels": '{store="s1"}', "value": condition.number}]
    case = {
        "interval": "1m",
        "input_series": [{"series": name, "values": str(value)} for name, value in {INFO: 1, **told}.items()],
        "promql_expr_test": [
            {"expr": condition_of(selector), "eval_time": "0m", "exp_samples": expected}
            for selector in ("", 'store="s1"')
        ],
    }
    said = {"rule_files": ["none.yaml"], "tests": [case]}
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(said, allow_unicode=True))
    done = subprocess.run(
        [*prometheus_tools.promtool, "test", "rules", str(tmp_path / "tests.yaml")], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
