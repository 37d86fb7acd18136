"""The links in messages: whether those who get them can follow them, such as to a result too large to be sent."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from pipeline.config.settings import Config, DestinationSettings
from pipeline.doctor.findings import Finding, ok, warning
from pipeline.services.setup import base_url_of
from pipeline.web.origins import is_loopback


def links(config: Config) -> Iterator[Finding]:
    """Look where links lead, and whether somebody on another machine gets them."""
    base = base_url_of(config)
    away = [name for name, destination in config.destinations.items() if _leads_away(destination)]
    if config.service.public_url is None and away:
        yield warning(
            "links",
            f"those to {', '.join(away)}, as to a large result, begin with {base}, as there is no service.public_url",
            "set service.public_url to the address at which receivers and readers reach the service",
        )
    else:
        yield ok("links", f"they begin with {base}")


def _leads_away(destination: DestinationSettings) -> bool:
    """Tell whether what is sent is read on other machines; a mail is, whatever its server, and so is a callback."""
    match destination.kind:
        case "webhook":
            return not is_loopback(urlsplit(destination.options.url).hostname or "")
        case kind:
            return kind in ("email", "callback")
