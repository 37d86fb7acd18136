"""What root may do and others may not, and how a test does without it."""

import sys

# Root may do what the modes of files forbid; without CAP_DAC_OVERRIDE (1) and CAP_DAC_READ_SEARCH (2) it may not.
_DROP = """
import ctypes, os, sys
for capability in (1, 2):
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
WITHOUT_OVERRIDE = (sys.executable, "-c", _DROP)
"""Runs the command that follows; the modes of files bind it."""
