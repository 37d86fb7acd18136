"""Makes the body of one sending: reads what its form needs, and keeps heavy work off the loop."""

import asyncio

from destinations.base import Sending
from destinations.bodies.base import Body, Form
from destinations.bodies.subjects import has_event


async def made(form: Form, sending: Sending, inline_limit: int) -> Body:
    """Return the body of a message in `form`; raises TemplateFaultError for a template that cannot be filled in."""
    event = await sending.read_event() if form.needs_event and has_event(sending.message) else b"null"
    if form.is_heavy(sending, inline_limit, event):
        return await asyncio.to_thread(form.make, sending, inline_limit, event)
    return form.make(sending, inline_limit, event)
