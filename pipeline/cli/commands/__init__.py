"""The commands: one file for each, by its name."""
