"""User functions: which there are (catalog), what they are called with (wire), and what runs them (pool)."""
