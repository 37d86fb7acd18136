"""What the handlers of deliveries take and answer."""

from types import MappingProxyType

from pipeline.web import parameters as query
from pipeline.web.openapi import bodies, headers
from pipeline.web.openapi.operation import PAGED, THERE, Operation, Operations, json_of, list_of
from pipeline.web.resources import deliveries

_CHANGED_DELIVERY = json_of(
    "DeliveryWithAttempts", status=202, says="The delivery as it is now.", headers=(headers.LOCATION,)
)

OPERATIONS: Operations = MappingProxyType(
    {
        deliveries.list_all: Operation(
            name="list_deliveries",
            tag="Deliveries",
            query=(query.DESTINATION, query.DELIVERY_STATE, *PAGED),
            answers=(list_of("delivery"),),
            problems=(400, 404),
        ),
        deliveries.get: Operation(
            name="get_delivery",
            tag="Deliveries",
            answers=(json_of("DeliveryWithAttempts"),),
            problems=THERE,
        ),
        deliveries.cancel: Operation(
            name="cancel_delivery", tag="Deliveries", answers=(_CHANGED_DELIVERY,), problems=(*THERE, 409)
        ),
        deliveries.replay: Operation(
            name="replay_delivery",
            tag="Deliveries",
            body=bodies.OF_DELIVERY_REPLAY,
            answers=(_CHANGED_DELIVERY,),
            problems=(*THERE, *bodies.PROBLEMS, 409),
        ),
    }
)
