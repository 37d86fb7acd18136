"""Metrics: the table of all of them, what each fact adds to them, and how they are written for Prometheus."""
