"""The central value as a pure function of what the stores contribute: no driver, no clock, no I/O.

The same contributions give the same decision in whatever order they came.
"""
