"""What the handlers of replays of destinations take and answer."""

from types import MappingProxyType

from pipeline.web.openapi import bodies, headers
from pipeline.web.openapi.components import component
from pipeline.web.openapi.operation import PAGED, THERE, Operation, Operations, json_of, list_of
from pipeline.web.resources import replays

_STARTED = json_of(
    component("replay"),
    status=202,
    says="The replay is stored, and is worked off.",
    headers=(headers.LOCATION,),
    leads_to=("get_replay", "cancel_replay"),
)
_CHANGED = json_of(component("replay"), status=202, says="The replay as it is now.", headers=(headers.LOCATION,))

OPERATIONS: Operations = MappingProxyType(
    {
        replays.begin: Operation(
            name="replay_destination",
            tag="Destinations",
            body=bodies.OF_REPLAY,
            is_body_needed=True,
            answers=(_STARTED, json_of(component("replay-counts"), says="Of a dry run: how many there are.")),
            problems=(*bodies.PROBLEMS, 404, 409),
        ),
        replays.of_destination: Operation(
            name="list_replays_of_destination",
            tag="Destinations",
            query=PAGED,
            answers=(list_of("replay"),),
            problems=(400, 404),
        ),
        replays.list_all: Operation(
            name="list_replays", tag="Destinations", query=PAGED, answers=(list_of("replay"),), problems=(400,)
        ),
        replays.get: Operation(
            name="get_replay", tag="Destinations", answers=(json_of(component("replay")),), problems=THERE
        ),
        replays.cancel: Operation(
            name="cancel_replay", tag="Destinations", answers=(_CHANGED,), problems=(*THERE, 409)
        ),
    }
)
