"""The kind `callback`: webhooks to URLs that callers named, each judged again before it is called.

The receivers have nothing to do with one another: what one asks for, or fails at, counts for its own delivery only.
"""

from collections.abc import Awaitable
from dataclasses import replace
from urllib.parse import urlsplit

from yarl import URL

from destinations import egress
from destinations.base import Sending
from destinations.callback.allow_list import AllowList
from destinations.callback.settings import Settings
from destinations.dial.connection import Reply
from destinations.dial.exchange import Exchange
from destinations.dial.exchanges import Exchanges
from destinations.webhook.destination import Webhook
from destinations.webhook.queries import without_query
from pipeline.model import DeliveryReason, Outcome, Verdict


class Callback(Webhook):
    """Everybody's endpoint: a delivery's recipient is its URL."""

    def __init__(self, name: str, settings: Settings) -> None:
        super().__init__(name, settings, trust=egress.CALLER)
        self._allowed = AllowList(settings.allow_hosts, settings.allow_cidrs)
        self._exchanges: Exchanges | None = None

    async def open(self) -> None:
        """Make room for pools of connections; none is made yet."""
        self._exchanges = Exchanges(self._exchange_with)

    def _exchange_with(self, origin: URL) -> Exchange:
        return self._exchange_to(str(origin), self._allowed.trust_in(str(origin)))

    async def close(self) -> None:
        """Close all connections."""
        if self._exchanges is not None:
            await self._exchanges.close()
            self._exchanges = None

    def recipients(self) -> tuple[str, ...]:
        """Return none: callers name them."""
        return ()

    async def send(self, sending: Sending) -> Outcome:
        """Send one request to the URL that is the recipient, if it is allowed still, and say what happened."""
        url = sending.recipient
        if (refusal := self._allowed.refusal_of(url)) is not None:
            return Outcome(verdict=Verdict.TEMPORARY, reason=DeliveryReason.BLOCKED_ADDRESS, message=refusal)
        return without_query(_of_one(await super().send(sending)), url)

    def _ask(self, recipient: str, headers: dict[str, str], content: bytes) -> Awaitable[Reply]:
        return self._exchanged(URL(recipient).origin(), _target_of(recipient), headers, content)

    async def _exchanged(self, origin: URL, target: str, headers: dict[str, str], content: bytes) -> Reply:
        assert self._exchanges is not None, "send() before open()"
        async with self._exchanges.to(origin) as exchange:
            return await exchange.send(headers, content, target=target)


def _target_of(url: str) -> str:
    # As it was named, byte for byte: a URL may be signed.
    parts = urlsplit(url)
    has_query = "?" in url.partition("#")[0]  # even if it is empty
    return (parts.path or "/") + (f"?{parts.query}" if has_query else "")


def _of_one(outcome: Outcome) -> Outcome:
    """Return the outcome without what it says of the whole destination: who wants nothing more gets nothing more."""
    if outcome.disables and outcome.verdict is Verdict.TEMPORARY:
        message = f"{outcome.message}; {outcome.disables}"
        outcome = replace(outcome, verdict=Verdict.PERMANENT, reason=DeliveryReason.REJECTED, message=message)
    return replace(outcome, pause_s=None, disables="") if outcome.disables or outcome.pause_s else outcome
