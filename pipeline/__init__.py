"""Sendoff's service: functions, the job store, the services that move jobs on, and the HTTP API."""

__version__ = "0.1.0"
