"""Deliveries on their way: how destinations stand, who is sent what and when, and what became of it."""
