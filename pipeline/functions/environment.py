"""The environment of worker processes: an allow-list, so that nothing secret of the service reaches a function."""

from collections.abc import Mapping

_ALLOWED = frozenset({"PATH", "HOME", "LANG", "TZ", "TMPDIR", "USER", "VIRTUAL_ENV", "SSL_CERT_FILE", "SSL_CERT_DIR"})


def worker_environment(own: Mapping[str, str]) -> dict[str, str]:
    """Return what of the service's own environment a worker process gets."""
    return {name: value for name, value in own.items() if name in _ALLOWED or name.startswith("LC_")}
