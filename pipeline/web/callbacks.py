"""Callbacks: what callers say of where their own job's, or batch's, message is to go."""

from pipeline.services.setup import Setup
from pipeline.web.wishes import bad_header

HEADER = "X-Callback-Url"


def destination_for(url: str, setup: Setup) -> str:
    """Return the name of the destination that sends to a caller's URL; raises the 400 for one that may not be named.

    What that says holds nothing of the URL but its host.
    """
    route = setup.callback
    if route is None or route.refusal_of is None:
        raise bad_header(
            HEADER,
            "is not taken here: that needs a destination of type callback, whose allow_hosts says what may be named",
        )
    if (refusal := route.refusal_of(url)) is not None:
        raise bad_header(HEADER, refusal)
    return route.name
