"""Replays of destinations: what each is to open, and in which order and pace."""
