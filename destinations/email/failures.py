"""What it means that a mail was not taken: the class of the failure, and a sentence that names the server. Pure."""

import ssl
from collections.abc import Mapping
from dataclasses import replace

import aiosmtplib

from destinations.base import PATIENCE_S
from destinations.dial.failures import reason_of, sentence_of
from pipeline.model import DeliveryReason, Outcome, Verdict


def late(server: str, timeout_s: float) -> Outcome:
    """Return that the time allowed for a mail was over."""
    return _later(failure(DeliveryReason.TIMEOUT, f"{server}: the mail was not taken within {timeout_s:g} s"))


def broken(error: Exception, server: str) -> Outcome:
    """Return what an error of the connection means."""
    reason, sentence = reason_of(error), sentence_of(error)
    # `connect` names who it was itself, and an address that is refused stands for a name.
    named = server.rpartition(":")[0].strip("[]")
    outcome = failure(reason, sentence if named in sentence else f"{server}: {sentence}")
    return _later(outcome) if reason is DeliveryReason.TIMEOUT else outcome


def judged(error: aiosmtplib.SMTPException, server: str, timeout_s: float) -> Outcome:
    """Return what a refusal means: 4xx and what breaks off is tried again, 5xx is final for this recipient."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused) and error.recipients:
        error = error.recipients[0]
    if isinstance(error, aiosmtplib.SMTPTimeoutError):
        return late(server, timeout_s)
    if not isinstance(error, aiosmtplib.SMTPResponseException) or error.code < 400:
        if isinstance(error.__cause__, ssl.SSLError):
            return failure(DeliveryReason.TLS_ERROR, f"{server}: {sentence_of(error.__cause__)}")
        return failure(DeliveryReason.CONNECTION_RESET, _broken_off(error, server))
    is_of_the_mail = isinstance(
        error, aiosmtplib.SMTPRecipientRefused | aiosmtplib.SMTPDataError | aiosmtplib.SMTPSenderRefused
    )
    if error.code >= 500 and is_of_the_mail:
        said = _said(error)
        return Outcome(verdict=Verdict.PERMANENT, reason=DeliveryReason.REJECTED, message=said, status=error.code)
    return failure(DeliveryReason.SMTP_ERROR, _said(error), error.code)


def of_login(error: aiosmtplib.SMTPException, server: str) -> Outcome:
    """Return what it means that a login was refused, or could not be tried."""
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return failure(DeliveryReason.AUTH_ERROR, _said(error), error.code)
    return failure(DeliveryReason.AUTH_ERROR, f"{server}: {_plain(str(error))}")


def not_taken(mail: bytes, offered: Mapping[str, str], server: str) -> Outcome | None:
    """Return why a server cannot take a mail by what it offers (RFC 1870, RFC 6531), or None where it may."""
    limit = offered.get("size", "")
    if limit.isdecimal() and 0 < int(limit) < len(mail):  # 0 is no limit
        said = f"{server} takes mails of at most {int(limit)} bytes, and this one has {len(mail)}"
    elif not mail.isascii() and "smtputf8" not in offered:
        said = f"{server} does not offer SMTPUTF8, which an address needs that has more than ASCII before its @"
    else:
        return None
    return Outcome(verdict=Verdict.PERMANENT, reason=DeliveryReason.REJECTED, message=said)


def failure(reason: DeliveryReason, message: str, status: int | None = None) -> Outcome:
    """Return a failed attempt after which another may do."""
    return Outcome(verdict=Verdict.TEMPORARY, reason=reason, message=message[:500], status=status)


def _broken_off(error: aiosmtplib.SMTPException, server: str) -> str:
    match error:
        case aiosmtplib.SMTPConnectResponseError() | aiosmtplib.SMTPResponseException():
            return f"{server}: {_said(error) if error.code > 0 else f'what came is no answer of SMTP: {_told(error)}'}"
        case aiosmtplib.SMTPServerDisconnected() | aiosmtplib.SMTPConnectError():
            return f"{server} closed the connection before the mail was taken"
        case _:
            return f"{server}: {_plain(str(error))}"


def _told(error: aiosmtplib.SMTPResponseException) -> str:
    return _plain(error.message.removeprefix("Malformed SMTP response line: "))


def _said(error: aiosmtplib.SMTPResponseException) -> str:
    return _plain(f"{error.code} {error.message}")


def _plain(text: str) -> str:
    """Return a text as the end of a sentence, whose full stop its reader sets."""
    return text.strip().removesuffix(".").encode("utf-8", "replace").decode()[:500]


def _later(outcome: Outcome) -> Outcome:
    return replace(outcome, patience_s=PATIENCE_S)
