"""What is shown to a reader, beside what really came out."""

import doctest

HOW = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def require_shown(shown: str, real: str) -> None:
    """`...` stands for what is different each time, and for what is left out."""
    assert doctest.OutputChecker().check_output(shown, real, HOW), f"what is shown is\n{shown}\nbut it is\n{real}"
