"""The HTTP header Retry-After, of receivers and of functions. Pure."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_WAIT_S = 86_400.0
_DIGITS = re.compile(r"[0-9]{1,20}")


def retry_after_s(value: str, now: datetime) -> float | None:
    """Return the seconds that a Retry-After header asks for, at most 24 h; None for an unreadable one and for none."""
    text = value.strip()
    if _DIGITS.fullmatch(text):
        wait_s = float(text)
    else:
        moment = _http_date(text)
        if moment is None:
            return None
        wait_s = (moment - now).total_seconds()
    return min(wait_s, LONGEST_WAIT_S) if wait_s > 0 else None


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    # RFC 9110: HTTP dates are in GMT, also where a sender leaves the zone out.
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
