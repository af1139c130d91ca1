"""Batches into the warehouse: rows, decisions and position in one transaction, all of it or none of it.

Whatever is delivered again is no news, whatever arrives late loses to what is later in its own store's log, and a
value that cannot be kept is set aside with its reason while everything else goes on.
"""
