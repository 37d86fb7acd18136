"""The loops that the service may run on."""

import asyncio

import pytest
import uvloop

LOOPS = pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
"""Has a test make each of them."""
