"""What the README says beside its commands: where things are, and figures that stand in the code."""

import re
from pathlib import Path

from tillstream import pipeline

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def headings(marks: str) -> set[str]:
    """Anchors, as GitHub makes them of headings outside of code."""
    prose = re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(rf"^{marks} (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_links_within_it_lead_to_a_heading() -> None:
    """One that was renamed leaves no link behind."""
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= headings("##+")


def test_its_contents_name_every_section() -> None:
    """A stranger finds the way by them."""
    contents = README.split("**Where to find what**")[1].split("\n## ")[0]
    assert headings("##") == set(re.findall(r"\]\(#([^)]+)\)", contents)) & headings("##")


def test_the_heap_is_as_large_as_it_says() -> None:
    """Whoever sizes a machine by it."""
    base, per_store, least = pipeline.HEAP_MEGABYTES, pipeline.HEAP_MEGABYTES_PER_STORE, pipeline.LEAST_STORES
    assert f"heap is bounded, `{base} MB + {per_store} MB` a store (at least {least})" in README
