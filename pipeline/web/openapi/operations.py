"""What each handler takes and answers: one entry each, from which its operations in the document are made."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from aiohttp.typedefs import Handler

from pipeline.web import (
    batches,
    deliveries,
    destinations,
    events,
    functions,
    interventions,
    jobs,
    metrics,
    service,
    usage,
)
from pipeline.web import parameters as query
from pipeline.web.openapi import bodies, headers, served
from pipeline.web.openapi.components import component, page_of, reference
from pipeline.web.openapi.headers import Header
from pipeline.web.parameters import Parameter

JSON, PROBLEM = "application/json", "application/problem+json"
NDJSON, EVENTS = "application/x-ndjson", "text/event-stream"
NOTHING, ANYTHING = "application/octet-stream", "*/*"

Content = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer: a status, and what comes with it."""

    status: int | str
    description: str
    content: Content = field(default_factory=dict)
    """The schema of its body by media type; none: no body."""
    headers: tuple[Header, ...] = ()
    leads_to: tuple[str, ...] = ()
    """Operations that take the `id` that stands in its body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What a handler takes and answers. Its words stand in the handler's docstring."""

    name: str
    tag: str
    query: tuple[Parameter, ...] = ()
    headers: tuple[Header, ...] = ()
    body: Mapping[str, Any] | None = None
    is_body_needed: bool = False
    answers: tuple[Answer, ...]
    problems: tuple[int, ...] = ()
    """Besides those that every route may answer with."""


def _json(name: str, *, status: int = 200, says: str = "", **more: Any) -> Answer:
    return Answer(status=status, description=says or "As asked.", content={JSON: reference(name)}, **more)


def _list(shape: str) -> Answer:
    return _json(page_of(shape), says="A page of the list.", headers=(headers.LINK,))


def _stream(media_type: str, shape: str, says: str, *more: Header) -> Answer:
    content = {media_type: _piece(shape)}
    return Answer(status=200, description=says, content=content, headers=more)


def _piece(shape: str) -> dict[str, Any]:
    """Return what a stream consists of. OpenAPI before 3.2 has no words for it: a reader that knows streams hands over
    its pieces, any other one text.
    """
    return {"anyOf": [reference(shape), {"type": "string"}]}


NOT_MODIFIED = Answer(status=304, description="The ETag still holds.", headers=(headers.ETAG, headers.RETRY_AFTER))
_OF_JOB = ("get_job", "get_result", "list_runs", "list_log_lines", "list_deliveries_of_job", "cancel_job", "retry_job")
_OF_ENDED_JOB = ("replay_job", "delete_job")
_OF_BATCH = ("get_batch", "get_batch_results", "list_deliveries_of_batch", "cancel_batch", "retry_failed")
_PAGED = (query.LIMIT, query.CURSOR)
_NUMBERED = (query.LIMIT, query.NUMBER_CURSOR)
_WAITING = (query.WAIT, query.UNTIL)
_THERE = (404, 410)
_AS_IT_IS = (headers.ETAG, headers.RETRY_AFTER)

_ACCEPTED = replace(
    _json(component("accepted"), status=202, says="The job is stored, and will run."),
    headers=(
        headers.LOCATION,
        headers.RETRY_AFTER,
        headers.JOB_ID,
        headers.APPLIED,
        headers.REPLAYED,
    ),
    leads_to=(*_OF_JOB, *_OF_ENDED_JOB),
)
_CHANGED_JOB = _json(
    component("job"), status=202, says="The job as it is now.", headers=(headers.LOCATION, headers.RETRY_AFTER)
)
_CHANGED_DELIVERY = _json(
    "DeliveryWithAttempts", status=202, says="The delivery as it is now.", headers=(headers.LOCATION,)
)
_CHANGED_DESTINATION = _json(
    component("destination"), status=202, says="The destination as it is now.", headers=(headers.LOCATION,)
)
_CHANGED_BATCH = _json(component("batch"), status=202, says="The batch as it is now.", headers=(headers.LOCATION,))

INVOKE = Operation(
    name="function",
    tag="Functions",
    headers=(
        headers.PREFER,
        headers.IDEMPOTENCY_KEY,
        headers.RUN_AT,
        headers.DELAY,
        headers.PRIORITY,
        headers.TAG,
        headers.TIMEOUT,
        headers.TRACEPARENT,
    ),
    body=bodies.OF_FUNCTION,
    answers=(
        replace(_ACCEPTED, content={**_ACCEPTED.content, NOTHING: {"type": "string", "maxLength": 0}}),
        Answer(
            status="default",
            description="The function's own answer: its status, its headers, its bytes, of whatever type.",
            headers=(replace(headers.JOB_ID, description="The job's id, where the call was made one."),),
        ),
    ),
    problems=(400, 404, 408, 409, 413, 422, 429, 502),
)

OPERATIONS: Mapping[Handler, Operation] = MappingProxyType(
    {
        functions.invoke: INVOKE,
        jobs.list_all: Operation(
            name="list_jobs",
            tag="Jobs",
            query=(
                query.FUNCTION,
                query.JOB_STATE,
                query.BATCH,
                query.PARENT,
                query.TAG,
                query.CREATED_AFTER,
                *_PAGED,
            ),
            answers=(_list("job"),),
            problems=(400,),
        ),
        jobs.get: Operation(
            name="get_job",
            tag="Jobs",
            query=(*_WAITING, query.SHARE),
            headers=(headers.IF_NONE_MATCH,),
            answers=(_json(component("job"), headers=_AS_IT_IS), NOT_MODIFIED),
            problems=(400, *_THERE),
        ),
        jobs.result: Operation(
            name="get_result",
            tag="Jobs",
            headers=(headers.IF_NONE_MATCH,),
            answers=(
                _json(
                    component("waiting"),
                    status=202,
                    says="The job has not ended yet.",
                    headers=(headers.LOCATION, headers.RETRY_AFTER),
                ),
                NOT_MODIFIED,
                Answer(
                    status="default",
                    description="The function's own answer: its status, its headers, its bytes, of whatever type.",
                    headers=(headers.JOB_ID, replace(headers.ETAG, is_always_there=False)),
                ),
            ),
            problems=(*_THERE, 409, 502),
        ),
        jobs.runs: Operation(
            name="list_runs", tag="Jobs", query=_NUMBERED, answers=(_list("run"),), problems=(400, *_THERE)
        ),
        jobs.logs: Operation(
            name="list_log_lines",
            tag="Jobs",
            query=(query.AFTER_LINE, query.LAST, query.FOLLOW, *_NUMBERED),
            answers=(
                replace(
                    _list("log-line"),
                    content={**_list("log-line").content, NDJSON: _piece(component("log-line"))},
                    description="A page of the list; with `follow=1` a line of JSON for each log line, as it comes.",
                ),
            ),
            problems=(400, *_THERE),
        ),
        jobs.deliveries: Operation(
            name="list_deliveries_of_job",
            tag="Jobs",
            query=_PAGED,
            answers=(_list("delivery"),),
            problems=(400, *_THERE),
        ),
        events.job: Operation(
            name="stream_job",
            tag="Jobs",
            query=(query.AFTER_LINE,),
            headers=(headers.LAST_EVENT_ID,),
            answers=(
                _stream(
                    EVENTS,
                    "JobEvent",
                    "Events `job`, `delivery` and `log`, each the whole of it as JSON; `settled` is the last.",
                ),
            ),
            problems=(400, *_THERE),
        ),
        interventions.cancel: Operation(
            name="cancel_job", tag="Jobs", answers=(_CHANGED_JOB,), problems=(*_THERE, 409)
        ),
        interventions.retry: Operation(name="retry_job", tag="Jobs", answers=(_CHANGED_JOB,), problems=(*_THERE, 409)),
        interventions.replay: Operation(name="replay_job", tag="Jobs", answers=(_ACCEPTED,), problems=(*_THERE, 429)),
        interventions.delete: Operation(
            name="delete_job",
            tag="Jobs",
            answers=(Answer(status=204, description="The job is gone, with all that belongs to it."),),
            problems=(*_THERE, 409),
        ),
        batches.post: Operation(
            name="submit_batch",
            tag="Batches",
            query=(query.OF_FUNCTION,),
            headers=(headers.BATCH_KEY, headers.PRIORITY, headers.TAG, headers.TIMEOUT, headers.TRACEPARENT),
            body=bodies.OF_BATCH,
            is_body_needed=True,
            answers=(
                _json(
                    component("batch"),
                    status=202,
                    says="The items are stored, and will run; what could not be one is told in `rejected`.",
                    headers=(headers.LOCATION, headers.RETRY_AFTER, headers.BATCH_ID, headers.REPLAYED),
                    leads_to=_OF_BATCH,
                ),
            ),
            problems=(400, 404, 408, 413, 415, 429),
        ),
        batches.list_all: Operation(
            name="list_batches",
            tag="Batches",
            query=(query.FUNCTION, query.BATCH_STATE, *_PAGED),
            answers=(_list("batch"),),
            problems=(400,),
        ),
        batches.get: Operation(
            name="get_batch",
            tag="Batches",
            query=_WAITING,
            headers=(headers.IF_NONE_MATCH,),
            answers=(_json(component("batch"), headers=_AS_IT_IS), NOT_MODIFIED),
            problems=(400, *_THERE),
        ),
        batches.results: Operation(
            name="get_batch_results",
            tag="Batches",
            query=(query.AFTER_INDEX,),
            answers=(
                _stream(
                    NDJSON, component("batch-line"), "A line of JSON for each job that has ended.", headers.BATCH_STATE
                ),
            ),
            problems=(400, *_THERE),
        ),
        events.batch: Operation(
            name="stream_batch",
            tag="Batches",
            answers=(
                _stream(EVENTS, "BatchEvent", "Events `batch`, each the whole of it as JSON; `settled` is the last."),
            ),
            problems=_THERE,
        ),
        batches.deliveries: Operation(
            name="list_deliveries_of_batch",
            tag="Batches",
            query=_PAGED,
            answers=(_list("delivery"),),
            problems=(400, *_THERE),
        ),
        batches.cancel: Operation(
            name="cancel_batch", tag="Batches", answers=(_CHANGED_BATCH,), problems=(*_THERE, 409)
        ),
        batches.retry_failed: Operation(
            name="retry_failed", tag="Batches", answers=(_CHANGED_BATCH,), problems=(*_THERE, 409)
        ),
        deliveries.list_all: Operation(
            name="list_deliveries",
            tag="Deliveries",
            query=(query.DESTINATION, query.DELIVERY_STATE, *_PAGED),
            answers=(_list("delivery"),),
            problems=(400,),
        ),
        deliveries.get: Operation(
            name="get_delivery",
            tag="Deliveries",
            answers=(_json("DeliveryWithAttempts"),),
            problems=_THERE,
        ),
        deliveries.cancel: Operation(
            name="cancel_delivery", tag="Deliveries", answers=(_CHANGED_DELIVERY,), problems=(*_THERE, 409)
        ),
        deliveries.replay: Operation(
            name="replay_delivery", tag="Deliveries", answers=(_CHANGED_DELIVERY,), problems=(*_THERE, 409)
        ),
        destinations.list_all: Operation(
            name="list_destinations", tag="Destinations", answers=(_json(page_of("destination")),)
        ),
        destinations.get: Operation(
            name="get_destination", tag="Destinations", answers=(_json(component("destination")),), problems=(404,)
        ),
        destinations.pause: Operation(
            name="pause_destination", tag="Destinations", answers=(_CHANGED_DESTINATION,), problems=(404, 409)
        ),
        destinations.resume: Operation(
            name="resume_destination", tag="Destinations", answers=(_CHANGED_DESTINATION,), problems=(404, 409)
        ),
        destinations.webhook_keys: Operation(
            name="get_webhook_keys",
            tag="Destinations",
            query=(query.OF_DESTINATION,),
            answers=(_json(component("webhook-keys")),),
        ),
        destinations.test: Operation(
            name="test_destination",
            tag="Destinations",
            answers=(_json(component("destination-test"), says="What became of it, whether it was delivered or not."),),
            problems=(404, 409),
        ),
        service.functions: Operation(
            name="list_functions", tag="Service", answers=(_json(page_of("listed-function")),)
        ),
        usage.get: Operation(
            name="list_usage",
            tag="Service",
            query=(query.FROM, query.TO, query.FUNCTION, query.LIMIT, query.USAGE_CURSOR),
            answers=(_list("usage"),),
            problems=(400,),
        ),
        metrics.get: Operation(
            name="get_metrics",
            tag="Service",
            answers=(
                Answer(
                    status=200,
                    description="All metrics.",
                    content={"text/plain": {"type": "string"}, "application/openmetrics-text": {"type": "string"}},
                ),
            ),
        ),
        service.healthz: Operation(name="is_alive", tag="Service", answers=(_json(component("health")),)),
        service.readyz: Operation(
            name="is_ready",
            tag="Service",
            answers=(
                _json(component("readiness"), says="New work is taken."),
                Answer(
                    status=503,
                    description="The service is shutting down, or the store cannot be read.",
                    content={JSON: reference(component("readiness")), PROBLEM: reference(component("problem"))},
                    headers=(headers.RETRY_AFTER,),
                ),
            ),
        ),
        served.get: Operation(
            name="get_openapi",
            tag="Service",
            headers=(headers.IF_NONE_MATCH,),
            answers=(
                Answer(
                    status=200,
                    description="This document.",
                    content={JSON: {"type": "object"}},
                    headers=(headers.ETAG,),
                ),
                NOT_MODIFIED,
            ),
        ),
    }
)
"""What every handler of the route table takes and answers."""
