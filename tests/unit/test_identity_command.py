"""What `identity suggest` prints can be pasted into a shell."""

import shlex

from conflict.likeness import Likeness
from sinks.duplicates import Duplicate
from tillstream.commands.identity import in_words


def test_keys_that_a_shell_would_take_apart_are_quoted() -> None:
    keys = ('["SH","A 1"]', "it's")
    alike = Likeness(score=0.9, same=("name",), alike=(), differing=("city",))
    values = {"name": ("Tea", "Tea"), "city": ("Bern", None)}
    lines = list(in_words("price list", Duplicate(keys=keys, stores=(["s1"], ["s2"]), values=values, likeness=alike)))
    assert shlex.split(lines[-1]) == ["tillstream", "identity", "accept", "price list", *keys, "--reason", "..."]
    assert lines[1:3] == ['      same: name "Tea"', '      differing: city "Bern" / NULL']
