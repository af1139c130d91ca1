"""Pieces of PromQL that panels share."""

OF_STORE = 'store="$store"'
NAMED = "{{store}} {{name}}"  # the legend of what `named` answers


def named(query: str) -> str:
    """With the name that people call the store; `query` has the label `store` and no other."""
    return f"({query}) * on (store) group_left (name) max by (store, name) (tillstream_store_info)"


def worst(query: str, most: int = 10) -> str:
    """Of so many stores only: a chain may have a thousand."""
    return f"topk({most}, {named(query)})"


def least(query: str, most: int = 10) -> str:
    return f"bottomk({most}, {named(query)})"


def or_zero(query: str) -> str:
    """Zero where it has never happened; no answer, rather than zero, where no process of ours is scraped."""
    return f"({query}) or 0 * max(tillstream_lanes)"


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
    return f"sum{grouped} (rate({counter}{{{matching}}}[$__rate_interval]))"


def of_day(counter: str, by: str = "", matching: str = "") -> str:
    """How often within a day."""
    grouped = f" by ({by})" if by else ""
    return f"sum{grouped} (increase({counter}{{{matching}}}[1d]))"


def quantile(part: float, histogram: str, by: str = "", matching: str = "") -> str:
    labels = ", ".join(filter(None, ["le", by]))
    return f"histogram_quantile({part}, sum by ({labels}) (rate({histogram}_bucket{{{matching}}}[$__rate_interval])))"
