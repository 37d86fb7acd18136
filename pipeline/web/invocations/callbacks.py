"""Callbacks: what callers say of where their own job's, or batch's, message is to go."""

from pipeline.services.setup import Setup
from pipeline.store.transactions.idempotency import Earlier, IdempotencyKey
from pipeline.web.invocations.wishes import bad_header
from pipeline.web.parts import Parts

HEADER = "X-Callback-Url"


async def destination_or_earlier(
    url: str, key: IdempotencyKey | None, parts: Parts
) -> tuple[Earlier, None] | tuple[None, str]:
    """Return what an earlier request with the same key has made, or else the name of the destination that sends to a
    caller's URL; raises the 400 for one that may not be named.

    In this order: what was accepted once gets the same answer again, whatever may be named since.
    """
    earlier = None if key is None else await parts.store.find_earlier(key, now=parts.clock.now())
    return (None, _destination_for(url, parts.current.setup)) if earlier is None else (earlier, None)


def _destination_for(url: str, setup: Setup) -> str:
    # What a refusal says holds nothing of the URL but its host.
    route = setup.callback
    if route is None or route.refusal_of is None:
        raise bad_header(
            HEADER,
            "is not taken here: that needs a destination of type callback, whose allow_hosts says what may be named",
        )
    if (refusal := route.refusal_of(url)) is not None:
        raise bad_header(HEADER, refusal)
    return route.name
