"""The database file: opened, migrated, written by one thread, read by another; rows to values and back."""
