"""Where one gets to from a panel: the other dashboards, the same store, what to do."""

from grafana_foundation_sdk.builders.dashboard import DashboardLink

CHAIN, STORE, CONFLICTS, PIPELINE, BUSINESS = (
    f"tillstream-{name}" for name in ("chain", "store", "conflicts", "pipeline", "business")
)
TITLES = {CHAIN: "Chain", STORE: "Store", CONFLICTS: "Conflicts", PIPELINE: "Pipeline", BUSINESS: "Business"}
RUNBOOKS = "runbooks"  # a variable of each dashboard: where they can be read
_TIME = "${__url_time_range}"


def to(uid: str) -> DashboardLink:
    """Another dashboard, at the same time."""
    return _link(TITLES[uid], f"/d/{uid}?{_TIME}")


def to_store(store: str) -> DashboardLink:
    """The Store dashboard of one of several: `${__field.labels.store}` of a line, `${__data.fields.Store}` of a row."""
    return _link("This store", f"/d/{STORE}?var-store={store}&{_TIME}")


def what_to_do(alert: str) -> DashboardLink:
    """The alert's section in the runbooks."""
    return _link(f"What to do: {alert}", f"${{{RUNBOOKS}:raw}}#{alert.lower()}").target_blank(True)


def _link(title: str, url: str) -> DashboardLink:
    return DashboardLink(title).url(url)
