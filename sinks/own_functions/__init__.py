"""Rules of one's own, run: in a process of their own, within their time, asked twice.

What such a function says is only taken if it says so again of the same rows in another order.
"""
