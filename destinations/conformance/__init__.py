"""Whether a kind of destination keeps the contract of `destinations.base`: checks that any plug-in's tests can run.

    class TestFolder(DestinationConformance):
        kind = KIND

        @contextmanager
        def receiver(self):
            ...
            yield FolderReceiver(...)

pytest runs its methods `test_...`; unittest can, too. Nothing here imports either. How to write one:
`docs/how-to/write-a-destination.md`.
"""

from destinations.conformance.receiver import Manner, Receiver
from destinations.conformance.suite import DestinationConformance

__all__ = ["DestinationConformance", "Manner", "Receiver"]
