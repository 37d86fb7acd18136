"""What it means that a receiver gave no answer: the class of the error, and a sentence for the record of the attempt.

`connector`, `exchange` and `connection` raise these errors; what an answer means stands in `webhook.answers`.
"""

import errno
import os
import ssl

from aiohttp import ClientConnectorDNSError, ClientConnectorError, ClientError, InvalidUrlClientError

from destinations.dial.connection import AnswerError
from destinations.egress import told_once
from pipeline.model import DeliveryReason

BLOCKED = 10_000
"""The errno of a refused address, above every kernel's: only the number is left when several addresses fail."""


class AttemptError(Exception):
    """What went wrong, where it is known best: the sentence, and the class."""

    def __init__(self, sentence: str, reason: DeliveryReason) -> None:
        super().__init__(sentence)
        self.reason = reason


class UnknownHostError(OSError):
    """A name has no address, or nobody tells it in time."""


class BlockedAddressError(OSError):
    """The guard refused to connect to an address."""

    def __init__(self, sentence: str) -> None:
        super().__init__(BLOCKED, sentence)

    def __str__(self) -> str:
        return str(self.strerror)


ERRORS = (AttemptError, ClientError, AnswerError, OSError, ValueError)
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
    return error.reason if isinstance(error, AttemptError) else _found_out(error)


def _found_out(error: Exception) -> DeliveryReason:
    match error:
        case TimeoutError():
            return DeliveryReason.TIMEOUT
        case OSError() | InvalidUrlClientError() if _is_refused(error):
            return DeliveryReason.BLOCKED_ADDRESS
        case ClientConnectorDNSError() | UnknownHostError():
            return DeliveryReason.DNS_ERROR
        case ssl.SSLError() | ssl.CertificateError():
            return DeliveryReason.TLS_ERROR
        case ConnectionResetError() | ClientConnectorError(os_error=ConnectionError(errno=None)):
            return DeliveryReason.CONNECTION_RESET
        case AnswerError():
            return DeliveryReason.TOO_LARGE if error.is_too_long else DeliveryReason.HTTP_ERROR
        case OSError():
            return _BY_ERRNO.get(error.errno or 0, DeliveryReason.NETWORK_UNREACHABLE)
        case _:
            return DeliveryReason.HTTP_ERROR


def _is_refused(error: OSError | InvalidUrlClientError) -> bool:
    return error.errno == BLOCKED if isinstance(error, OSError) else True  # an address in disguise, as aiohttp sees it


def sentence_of(error: Exception) -> str:
    """Return what happened in a few words, at most 500 characters, for the record of the attempt."""
    text = " ".join(_said(error).split()) or type(error).__name__
    return text.encode("utf-8", "replace").decode()[:500]


def _said(error: Exception) -> str:
    match error:
        case ClientConnectorError():
            return _of_connection(error)
        case ssl.SSLError():
            return _of_tls(error)
        case TimeoutError():
            return str(error) or "not done within the time allowed"
        case InvalidUrlClientError():
            return f"{error.url} is not called: write the host's address in its usual form, four decimal numbers"
        case AnswerError():
            return f"the answer cannot be read: {error}"
        case OSError():
            return error.strerror or str(error)
        case _:
            return str(error)


def _of_connection(error: ClientConnectorError) -> str:
    cause = error.os_error
    match error:
        case _ if cause.errno == BLOCKED:
            # Where several addresses were refused, there are several sentences.
            return told_once(str(cause.strerror).removeprefix("Multiple exceptions: "))
        case ClientConnectorDNSError():
            return f"{error.host} cannot be looked up: {cause.strerror or cause}"
        case ssl.SSLError() | ssl.CertificateError():
            return f"{error.host}:{error.port}: {_of_tls(cause)}"
        case _ if isinstance(cause, ConnectionError) and cause.errno is None:
            return f"{error.host}:{error.port} closed the connection before TLS was agreed upon"
        case _ if cause.errno is None:
            return f"{error.host}:{error.port}: {cause}"
        case _:
            return f"{error.host}:{error.port}: {os.strerror(cause.errno)}"


def _of_tls(error: Exception) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f"the certificate is not accepted: {error.verify_message.rstrip('.')}"
        case ssl.SSLError(reason="WRONG_VERSION_NUMBER" | "HTTP_REQUEST"):
            return "what answers there speaks no TLS"
        case ssl.SSLError(reason="TLSV13_ALERT_CERTIFICATE_REQUIRED"):
            return "no TLS without a certificate, which tls.certificate names: certificate required"
        case ssl.SSLError(reason=str(reason)) if "_ALERT_" in reason:
            return f"what answers there ends TLS: {reason.partition('_ALERT_')[2].lower().replace('_', ' ')}"
        case ssl.SSLError(reason=str(reason)):
            return f"no TLS: {reason.lower().replace('_', ' ')}"
        case _:
            return f"no TLS: {error}"
