"""User functions: which there are (catalog), what they are called with (wire), and the processes that run them (pool)."""
