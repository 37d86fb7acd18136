"""Signed links: for a while, whoever has one may see one job and its result, or one batch's results, without a key.
Pure.

What signs is a list: the first key of it makes signatures, and those of all are good, so that a key can be replaced
while links that it has signed are under way.
"""

import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256

from pipeline.config.secret import Secret

PARAMETER = "sig"
_SIGNATURE = re.compile(r"v1\.([0-9]{1,11})\.([A-Za-z0-9_-]{43})")
_IN_QUERY = re.compile(rf"{PARAMETER}={_SIGNATURE.pattern}")


class Purpose(StrEnum):
    """What is signed for. A link for the one is no link for the other."""

    JOB = "job"
    """The status of one job, and its result."""
    BATCH = "batch"
    """The results of one batch, and nothing else of it."""


class BadLinkError(Exception):
    """The signature does not let anyone see what is asked for; says why."""


def signature(subject_id: str, expires_at: datetime, keys: Sequence[Secret], purpose: Purpose = Purpose.JOB) -> str:
    """Return the value of `sig` for what has this id: it says when it expires, and that is signed, too."""
    expires = int(expires_at.timestamp())
    return f"v1.{expires}.{_mac(keys[0], purpose, subject_id, expires)}"


def check(given: str, subject_id: str, now: datetime, keys: Sequence[Secret], purpose: Purpose = Purpose.JOB) -> None:
    """Raise BadLinkError unless `given` was signed for this very thing by one of `keys`, and has not expired."""
    match = _SIGNATURE.fullmatch(given)
    if match is None:
        raise BadLinkError("the link's signature is cut off or changed")
    expires = int(match[1])
    found = [hmac.compare_digest(_mac(key, purpose, subject_id, expires), match[2]) for key in keys]
    if not any(found):
        raise BadLinkError(f"the link was changed, is for another {purpose}, or was signed by a key that is gone")
    if now.timestamp() >= expires:
        at = datetime.fromtimestamp(expires, UTC).isoformat().replace("+00:00", "Z")
        raise BadLinkError(f"the link has expired at {at}")


def signed(
    url: str, subject_id: str, expires_at: datetime, keys: Sequence[Secret], purpose: Purpose = Purpose.JOB
) -> str:
    """Return the URL of a job, of its result, or of a batch's results with a signature behind it."""
    return with_signature(url, signature(subject_id, expires_at, keys, purpose))


def with_signature(url: str, given: str) -> str:
    """Return the URL with this signature behind it."""
    return f"{url}?{PARAMETER}={given}"


def without_signatures(target: str) -> str:
    """Return a path with its query, less signatures of links; what only has the same name stays."""
    if f"{PARAMETER}=v1." not in target:
        return target
    path, _, query = target.partition("?")
    kept = "&".join(part for part in query.split("&") if not _IN_QUERY.fullmatch(part))
    return f"{path}?{kept}" if kept else path


def _mac(key: Secret, purpose: Purpose, subject_id: str, expires: int) -> str:
    text = f"sendoff link\n{purpose}\n{subject_id}\n{expires}"
    return urlsafe_b64encode(hmac.digest(key.reveal().encode(), text.encode(), sha256)).decode().rstrip("=")
