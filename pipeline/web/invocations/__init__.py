"""Invocations: what a caller sends, for one job or as items of a batch, and what it is answered."""
