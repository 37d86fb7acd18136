"""The worker programs, one standard-library file for each language; nothing here is imported by the service."""
