"""What the handlers of destinations take and answer."""

from types import MappingProxyType

from pipeline.web import parameters as query
from pipeline.web.openapi import bodies, headers
from pipeline.web.openapi.components import component, page_of
from pipeline.web.openapi.operation import Operation, Operations, json_of
from pipeline.web.resources import destinations

_CHANGED_DESTINATION = json_of(
    component("destination"), status=202, says="The destination as it is now.", headers=(headers.LOCATION,)
)

OPERATIONS: Operations = MappingProxyType(
    {
        destinations.list_all: Operation(
            name="list_destinations", tag="Destinations", answers=(json_of(page_of("destination")),)
        ),
        destinations.get: Operation(
            name="get_destination", tag="Destinations", answers=(json_of(component("destination")),), problems=(404,)
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
            answers=(json_of(component("webhook-keys")),),
        ),
        destinations.test: Operation(
            name="test_destination",
            tag="Destinations",
            body=bodies.OF_TEST,
            answers=(
                json_of(component("destination-test"), says="What became of it, whether it was delivered or not."),
            ),
            problems=(*bodies.PROBLEMS, 404, 409, 410),
        ),
    }
)
