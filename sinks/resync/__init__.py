"""Reading a store's tables anew by plain SELECTs, in chunks, under live traffic."""
