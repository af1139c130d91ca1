"""Pieces of PromQL that panels share."""

OF_STORE = 'store="$store"'
NAMED = "{{store}} {{name}}"  # the legend of what `named` answers


def named(query: str) -> str:
    """With the name that people call the store; `query` has the label `store` and no other."""
    return f"({query}) * on (store) group_left (name) max by (store, name) (tillstream_store_info)"


def worst(query: str, most: int = 10) -> str:
    """Of so many stores only: a chain may have a thousand."""
    return f"topk({most}, {named(query)})"


def farthest(query: str, most: int = 10) -> str:
    """From zero, on either side."""
    return named(f"({query}) and on (store) topk({most}, abs({query}))")


def least(query: str, most: int = 10) -> str:
    return f"bottomk({most}, {named(query)})"


def or_zero(query: str) -> str:
    """Zero where it has never happened; no answer, rather than zero, where no process of ours is scraped."""
    return f"({query}) or 0 * max(tillstream_lanes)"


def or_none(query: str, label: str) -> str:
    """Where there is nothing of any `label`: zero of one called none."""
    none = f'label_replace(0 * max(tillstream_lanes), "{label}", "none", "", "")'
    return f"({query}) or {none} unless on () ({query})"


def or_zero_each(query: str, selector: str = "") -> str:
    """The same for each store."""
    return f"({query}) or 0 * max by (store) (tillstream_store_info{{{selector}}})"


def of_each_store(metric: str) -> str:
    return f"max by (store) ({metric})"


def age(metric: str) -> str:
    """Seconds since a timestamp, by store."""
    return f"time() - max by (store) ({metric})"


def rate(counter: str, by: str = "", matching: str = "") -> str:
    """Per second; `matching` are label matchers."""
    grouped = f" by ({by})" if by else ""
    series = f"{counter}{{{matching}}}" if matching else counter
    return f"sum{grouped} (rate({series}[$__rate_interval]))"


def counted(counter: str, by: str = "", matching: str = "", within: str = "1d") -> str:
    """How often within that time. A series that began in it counts from zero: Prometheus's own `increase` leaves out
    what it began with, and a rare event is often the first of its kind."""
    grouped = f" by ({by})" if by else ""
    series = f"{counter}{{{matching}}}" if matching else counter
    return f"sum{grouped} ({series} unless {series} offset {within} or increase({series}[{within}]))"


def quantile(part: float, histogram: str, by: str = "") -> str:
    labels = ", ".join(filter(None, ["le", by]))
    return f"histogram_quantile({part}, sum by ({labels}) (rate({histogram}_bucket[$__rate_interval])))"
