"""The functions that `sendoff doctor` has a worker run."""
