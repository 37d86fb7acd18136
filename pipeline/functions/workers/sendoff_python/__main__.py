"""Starts the Python worker: `python sendoff_python NAME PATH RESULT_LIMIT MEMORY_MB`.

A program of its own: standard library only, Python 3.9 or newer.
"""

import os
import sys
from importlib import import_module

# The folder above comes first, so that our modules are `sendoff_python.channel` and so on: no function's own module has
# such a name. `main` puts the function's folder in its place.
sys.path[0] = os.path.dirname(sys.path[0])
import_module("sendoff_python.serving").main()
