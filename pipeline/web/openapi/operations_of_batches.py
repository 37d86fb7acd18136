"""What the handlers of batches take and answer."""

from types import MappingProxyType

from pipeline.web import parameters as query
from pipeline.web.openapi import bodies, headers
from pipeline.web.openapi.components import component
from pipeline.web.openapi.operation import (
    AS_IT_IS,
    EVENTS,
    NDJSON,
    NOT_MODIFIED,
    PAGED,
    THERE,
    WAITING,
    Operation,
    Operations,
    json_of,
    list_of,
    stream,
)
from pipeline.web.resources import batches, events, submissions

_OF_BATCH = ("get_batch", "get_batch_results", "list_deliveries_of_batch", "cancel_batch", "retry_failed")
_CHANGED_BATCH = json_of(component("batch"), status=202, says="The batch as it is now.", headers=(headers.LOCATION,))


OPERATIONS: Operations = MappingProxyType(
    {
        submissions.post: Operation(
            name="submit_batch",
            tag="Batches",
            query=(query.OF_FUNCTION,),
            headers=(
                headers.BATCH_KEY,
                headers.PRIORITY,
                headers.TAG,
                headers.TIMEOUT,
                headers.CALLBACK_URL,
                headers.TRACEPARENT,
            ),
            body=bodies.OF_BATCH,
            is_body_needed=True,
            answers=(
                json_of(
                    component("batch"),
                    status=202,
                    says="The items are stored, and will run; what could not be one is told in `rejected`.",
                    headers=(headers.LOCATION, headers.RETRY_AFTER, headers.BATCH_ID, headers.REPLAYED),
                    leads_to=_OF_BATCH,
                ),
            ),
            problems=(400, 404, 408, 413, 415, 422, 429),
        ),
        batches.list_all: Operation(
            name="list_batches",
            tag="Batches",
            query=(query.FUNCTION, query.BATCH_STATE, *PAGED),
            answers=(list_of("batch"),),
            problems=(400, 404),
        ),
        batches.get: Operation(
            name="get_batch",
            tag="Batches",
            query=WAITING,
            headers=(headers.IF_NONE_MATCH,),
            answers=(json_of(component("batch"), headers=AS_IT_IS), NOT_MODIFIED),
            problems=(400, *THERE),
        ),
        batches.results: Operation(
            name="get_batch_results",
            tag="Batches",
            query=(query.AFTER_INDEX,),
            answers=(
                stream(
                    NDJSON, component("batch-line"), "A line of JSON for each job that has ended.", headers.BATCH_STATE
                ),
            ),
            problems=(400, *THERE),
        ),
        events.batch: Operation(
            name="stream_batch",
            tag="Batches",
            answers=(
                stream(EVENTS, "BatchEvent", "Events `batch`, each the whole of it as JSON; `settled` is the last."),
            ),
            problems=THERE,
        ),
        batches.deliveries: Operation(
            name="list_deliveries_of_batch",
            tag="Batches",
            query=PAGED,
            answers=(list_of("delivery"),),
            problems=(400, *THERE),
        ),
        batches.cancel: Operation(
            name="cancel_batch", tag="Batches", answers=(_CHANGED_BATCH,), problems=(*THERE, 409)
        ),
        batches.retry_failed: Operation(
            name="retry_failed", tag="Batches", answers=(_CHANGED_BATCH,), problems=(*THERE, 409)
        ),
    }
)
