"""What the handlers of functions and jobs take and answer."""

from dataclasses import replace
from types import MappingProxyType

from pipeline.web import parameters as query
from pipeline.web.invocations import functions
from pipeline.web.openapi import bodies, headers
from pipeline.web.openapi.components import component
from pipeline.web.openapi.operation import (
    AS_IT_IS,
    EVENTS,
    NDJSON,
    NOT_MODIFIED,
    NOTHING,
    NUMBERED,
    PAGED,
    THERE,
    WAITING,
    Answer,
    Operation,
    Operations,
    json_of,
    list_of,
    piece,
    stream,
)
from pipeline.web.resources import events, interventions, jobs

_OF_JOB = ("get_job", "get_result", "list_runs", "list_log_lines", "list_deliveries_of_job", "cancel_job", "retry_job")
_OF_ENDED_JOB = ("replay_job", "delete_job")

_ACCEPTED = replace(
    json_of(component("accepted"), status=202, says="The job is stored, and will run."),
    headers=(
        headers.LOCATION,
        headers.RETRY_AFTER,
        headers.JOB_ID,
        headers.APPLIED,
        headers.REPLAYED,
    ),
    leads_to=(*_OF_JOB, *_OF_ENDED_JOB),
)
_CHANGED_JOB = json_of(
    component("job"), status=202, says="The job as it is now.", headers=(headers.LOCATION, headers.RETRY_AFTER)
)

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
        headers.CALLBACK_URL,
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


OPERATIONS: Operations = MappingProxyType(
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
                *PAGED,
            ),
            answers=(list_of("job"),),
            problems=(400, 404),
        ),
        jobs.get: Operation(
            name="get_job",
            tag="Jobs",
            query=(*WAITING, query.SHARE),
            headers=(headers.IF_NONE_MATCH,),
            answers=(json_of(component("job"), headers=AS_IT_IS), NOT_MODIFIED),
            problems=(400, *THERE),
        ),
        jobs.result: Operation(
            name="get_result",
            tag="Jobs",
            headers=(headers.IF_NONE_MATCH,),
            answers=(
                json_of(
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
            problems=(*THERE, 409, 502),
        ),
        jobs.runs: Operation(
            name="list_runs", tag="Jobs", query=NUMBERED, answers=(list_of("run"),), problems=(400, *THERE)
        ),
        jobs.logs: Operation(
            name="list_log_lines",
            tag="Jobs",
            query=(query.AFTER_LINE, query.LAST, query.FOLLOW, *NUMBERED),
            answers=(
                replace(
                    list_of("log-line"),
                    content={**list_of("log-line").content, NDJSON: piece(component("log-line"))},
                    description="A page of the list; with `follow=1` a line of JSON for each log line, as it comes.",
                ),
            ),
            problems=(400, *THERE),
        ),
        jobs.deliveries: Operation(
            name="list_deliveries_of_job",
            tag="Jobs",
            query=PAGED,
            answers=(list_of("delivery"),),
            problems=(400, *THERE),
        ),
        events.job: Operation(
            name="stream_job",
            tag="Jobs",
            query=(query.AFTER_LINE,),
            headers=(headers.LAST_EVENT_ID,),
            answers=(
                stream(
                    EVENTS,
                    "JobEvent",
                    "Events `job`, `delivery` and `log`, each the whole of it as JSON; `settled` is the last.",
                ),
            ),
            problems=(400, *THERE),
        ),
        interventions.cancel: Operation(name="cancel_job", tag="Jobs", answers=(_CHANGED_JOB,), problems=(*THERE, 409)),
        interventions.retry: Operation(name="retry_job", tag="Jobs", answers=(_CHANGED_JOB,), problems=(*THERE, 409)),
        interventions.replay: Operation(name="replay_job", tag="Jobs", answers=(_ACCEPTED,), problems=(*THERE, 429)),
        interventions.delete: Operation(
            name="delete_job",
            tag="Jobs",
            answers=(Answer(status=204, description="The job is gone, with all that belongs to it."),),
            problems=(*THERE, 409),
        ),
    }
)
