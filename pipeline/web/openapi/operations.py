"""What each handler takes and answers: one entry each, from which its operations in the document are made. They stand
in a file for each resource.
"""

from types import MappingProxyType

from pipeline.web.openapi import (
    operations_of_batches,
    operations_of_deliveries,
    operations_of_destinations,
    operations_of_jobs,
    operations_of_replays,
    operations_of_service,
)
from pipeline.web.openapi.operation import Operations

OPERATIONS: Operations = MappingProxyType(
    {
        **operations_of_jobs.OPERATIONS,
        **operations_of_batches.OPERATIONS,
        **operations_of_deliveries.OPERATIONS,
        **operations_of_destinations.OPERATIONS,
        **operations_of_replays.OPERATIONS,
        **operations_of_service.OPERATIONS,
    }
)
"""What every handler of the route table takes and answers."""
