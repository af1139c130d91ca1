"""`verify`: what the stores have against what the warehouse has, value by value, safe while the tills are at work.

Nothing is a difference that is still on its way: it counts only if seen twice, at a stamp that did not move.
"""
