"""The environment of worker processes: an allow-list, so that nothing secret of the service reaches a function."""

from collections.abc import Mapping

from pipeline.config.secret import Secret

_ALLOWED = frozenset({"PATH", "HOME", "LANG", "TZ", "TMPDIR", "USER", "VIRTUAL_ENV", "SSL_CERT_FILE", "SSL_CERT_DIR"})


def worker_environment(own: Mapping[str, str], configured: Mapping[str, Secret]) -> dict[str, str]:
    """Return a worker process's environment: what it gets of the service's own, and what its function is given."""
    allowed = {name: value for name, value in own.items() if name in _ALLOWED or name.startswith("LC_")}
    return allowed | {name: value.reveal() for name, value in configured.items()}
