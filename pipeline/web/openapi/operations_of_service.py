"""What the handlers of the service itself take and answer."""

from types import MappingProxyType

from pipeline.web import parameters as query
from pipeline.web.openapi import headers, served
from pipeline.web.openapi.components import component, page_of, reference
from pipeline.web.openapi.operation import JSON, NOT_MODIFIED, PROBLEM, Answer, Operation, Operations, json_of, list_of
from pipeline.web.resources import metrics, service, usage

OPERATIONS: Operations = MappingProxyType(
    {
        service.functions: Operation(
            name="list_functions", tag="Service", answers=(json_of(page_of("listed-function")),)
        ),
        usage.get: Operation(
            name="list_usage",
            tag="Service",
            query=(query.FROM, query.TO, query.FUNCTION, query.LIMIT, query.USAGE_CURSOR),
            answers=(list_of("usage"),),
            problems=(400, 404),
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
        service.healthz: Operation(name="is_alive", tag="Service", answers=(json_of(component("health")),)),
        service.readyz: Operation(
            name="is_ready",
            tag="Service",
            answers=(
                json_of(component("readiness"), says="New work is taken."),
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
