"""Binding the address that the service listens on, or saying why it may not be bound."""

import socket
from dataclasses import replace
from errno import EACCES, EADDRINUSE

from pipeline.config.settings import Config
from pipeline.errors import ConfigurationError
from pipeline.web.origins import is_loopback

BACKLOG = 1024
"""Connections that may wait to be accepted. They wait from the moment of binding, so that two services cannot both
have it.
"""


def bind(config: Config, *, is_insecure: bool) -> tuple[Config, socket.socket]:
    """Bind the configured address; return the configuration with the port that was got, and the socket, not listening
    yet.

    Raises ConfigurationError for an address that may not, or cannot, be bound.
    """
    check_address(config, is_insecure=is_insecure)
    service = config.service
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            service.host, service.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        path = "service.port" if error.errno in (EADDRINUSE, EACCES) else "service.host"
        message = f"cannot listen on {service.host}:{service.port}: {error.strerror}"
        raise ConfigurationError([config.fault(path, message)]) from error
    port = listener.getsockname()[1]
    return replace(config, service=replace(service, port=port)), listener


def check_address(config: Config, *, is_insecure: bool) -> None:
    """Raise ConfigurationError for an address that may not be bound: where nobody is asked for a key, and others than
    this machine's own programs can reach it.
    """
    host = config.service.host
    if not (config.keys or is_insecure or is_loopback(host)):
        message = (
            f"expected a loopback address such as 127.0.0.1, as there are no keys, got {host}; "
            "sendoff key new makes one, serve --insecure lets anyone in"
        )
        raise ConfigurationError([config.fault("service.host", message)])
