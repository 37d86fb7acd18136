"""The job store: every hand-over between two parts is a row committed here. Nothing outside this package knows SQL or
the file.
"""

from pipeline.store.store import Store

__all__ = ["Store"]
