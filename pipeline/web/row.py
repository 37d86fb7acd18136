"""What a row of the route table is."""

from typing import NamedTuple

from aiohttp.typedefs import Handler

from pipeline.web.policies import Policy


class Row(NamedTuple):
    """One route: who may use it stands beside what answers it."""

    method: str
    path: str
    handler: Handler
    policy: Policy
