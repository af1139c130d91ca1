"""Each store's log, as ChangeEvents in the order the store wrote them: one lane per store, nothing left out.

A lane hands over one batch and waits: only once that is in the warehouse does it let the engine forget it. An
unreachable store is retried for ever and never holds up another.
"""
