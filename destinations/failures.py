"""What it means that a receiver gave no answer: the class of the error, and a sentence for the record of the attempt.

`dial`, `exchange` and `connection` raise these errors; what an answer means stands in `answers`.
"""

import errno
import ssl

from aiohttp import ClientConnectorDNSError, ClientError, ConnectionTimeoutError

from destinations.connection import AnswerError
from pipeline.model import DeliveryReason

BLOCKED = 10_000
"""The errno of a refused address, above every kernel's: only the number is left when several addresses fail."""


class UnknownHostError(OSError):
    """A name has no address."""


class BlockedAddressError(OSError):
    """The guard refused to connect to an address."""

    def __init__(self, sentence: str) -> None:
        super().__init__(BLOCKED, sentence)

    def __str__(self) -> str:
        return str(self.strerror)


ERRORS = (ClientError, AnswerError, OSError, ValueError)
"""What an exchange raises where no answer came."""

_BY_ERRNO = {
    BLOCKED: DeliveryReason.BLOCKED_ADDRESS,
    errno.ECONNREFUSED: DeliveryReason.CONNECTION_REFUSED,
    errno.ECONNRESET: DeliveryReason.CONNECTION_RESET,
    errno.ECONNABORTED: DeliveryReason.CONNECTION_RESET,
    errno.EPIPE: DeliveryReason.CONNECTION_RESET,
    errno.ETIMEDOUT: DeliveryReason.TIMEOUT,
}


def reason_of(error: Exception) -> DeliveryReason:
    """Return the class of a request that failed before the status of an answer was there."""
    match error:
        case TimeoutError():
            return DeliveryReason.TIMEOUT
        case ClientConnectorDNSError() | UnknownHostError():
            return DeliveryReason.DNS_ERROR
        case ssl.SSLError() | ssl.CertificateError():
            return DeliveryReason.TLS_ERROR
        case ConnectionResetError():
            return DeliveryReason.CONNECTION_RESET
        case AnswerError():
            return DeliveryReason.TOO_LARGE if error.is_too_long else DeliveryReason.HTTP_ERROR
        case OSError():
            return _BY_ERRNO.get(error.errno or 0, DeliveryReason.NETWORK_UNREACHABLE)
        case _:
            return DeliveryReason.HTTP_ERROR


def sentence_of(error: Exception) -> str:
    """Return what happened in a few words, at most 500 characters, for the record of the attempt."""
    match error:
        case ConnectionTimeoutError():
            text = "no connection within the time allowed"
        case TimeoutError():
            text = str(error) or "no answer within the time allowed"
        case AnswerError():
            text = f"the answer cannot be read: {error}"
        case OSError() if not isinstance(error, ssl.SSLError):
            text = error.strerror or str(error)
        case _:
            text = str(error) or type(error).__name__
    return text.encode("utf-8", "replace").decode()[:500]
