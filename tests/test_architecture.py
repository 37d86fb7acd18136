"""The structure: layers, sizes, who may import what, no state at import. Read from the sources, nothing is run."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.telemetry import FACTS

ROOT = Path(__file__).parents[1]
SOURCES = sorted(path for folder in ("pipeline", "destinations", "schemas") for path in (ROOT / folder).rglob("*.py"))
TREES = {path: ast.parse(path.read_text("utf-8"), str(path)) for path in SOURCES}
MOST_LINES = 400
STANDARD_ONLY = [
    ROOT / "pipeline" / "functions" / "guard.py",
    *sorted(path for path in (ROOT / "pipeline" / "functions" / "workers").rglob("*.py") if path.stat().st_size),
]
EDGES = {
    "pipeline/web",
    "pipeline/app.py",
    "pipeline/cli/commands/serve.py",
    "pipeline/cli/client.py",
    "pipeline/cli/listening/http.py",
    "pipeline/cli/listening/session.py",
    "pipeline/doctor/software.py",
    "destinations/webhook/destination.py",
    "destinations/dial/connector.py",
    "destinations/dial/exchange.py",
    "destinations/dial/failures.py",
}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the top-level name of everything that is imported anywhere in a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            # A relative one names a neighbour: ruff allows that in the worker programs only.
            yield (node.module or "").partition(".")[0]


def users_of(module: str) -> set[str]:
    return {name_of(path) for path, tree in TREES.items() if module in imported(tree)}


def test_the_layers_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    ended = subprocess.run(
        [linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "0 broken" in ended.stdout


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_file_needs_no_table_of_contents(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize("path", STANDARD_ONLY, ids=name_of)
def test_the_guard_and_the_workers_import_the_standard_library_only(path: Path) -> None:
    assert set(imported(TREES[path])) <= sys.stdlib_module_names


def test_only_retry_imports_tenacity() -> None:
    assert users_of("tenacity") == {"pipeline/retry.py"}


def test_only_metrics_imports_prometheus() -> None:
    assert users_of("prometheus_client") == {"pipeline/metrics/counts.py", "pipeline/metrics/meters.py"}


def test_only_two_modules_import_cryptography() -> None:
    assert users_of("cryptography") == {"destinations/signing/ed25519.py", "destinations/dial/certificates.py"}


def test_who_has_no_asymmetric_key_does_not_load_cryptography() -> None:
    program = (
        "import sys, destinations.registry, pipeline.mask; from destinations.signing.signatures import sign; "
        "sign(['raw:x'], 'msg_1', 1, b''); print('cryptography' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert said.stdout == "False\n"


@pytest.mark.parametrize("module", ["sqlite3", "sqlite_utils"])
def test_only_the_store_knows_the_database(module: str) -> None:
    users = users_of(module)
    assert users
    assert all(user.startswith("pipeline/store/") for user in users), users


def test_aiohttp_stays_at_the_edges() -> None:
    users = users_of("aiohttp")
    assert users
    assert all(any(user == edge or user.startswith(f"{edge}/") for edge in EDGES) for user in users), users


CALLERS = {"ClientSession", "TCPConnector", "UnixConnector", "create_connection", "open_connection", "sock_connect"}
CALLERS |= {"connect_ex", "urlopen", "create_unix_connection", "open_unix_connection", "create_datagram_endpoint"}
CLIENTS = {
    "requests",
    "httpx",
    "urllib3",
    "http.client",
    "urllib.request",
    "smtplib",
    "ftplib",
    "aioquic",
    "websockets",
}


def callers(tree: ast.AST) -> set[str]:
    """Return what a file names that makes a connection to elsewhere, or is a whole client."""
    named = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    named |= {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    bases = {base.id for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for base in node.bases
             if isinstance(base, ast.Name)}  # fmt: skip
    return (named | bases) & CALLERS | modules & CLIENTS


def test_only_dial_calls_out_where_the_guard_stands() -> None:
    found = {name_of(path): made for path, tree in TREES.items() if (made := callers(tree))}
    # The command line's own client calls the service that its user names; nothing of a delivery goes there.
    assert found.pop("pipeline/cli/client.py") == {"ClientSession"}
    assert found == {"destinations/dial/connector.py": {"TCPConnector", "sock_connect"}}
    connects = {
        name_of(path)
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "connect"
    }
    # An exchange asks the connector that dial made; a mail goes over the socket that dial connected.
    assert {user for user in connects if not user.startswith("pipeline/store/")} == {
        "destinations/dial/exchange.py",
        "destinations/email/destination.py",
    }
    mail = (ROOT / "destinations" / "email" / "destination.py").read_text("utf-8")
    assert mail.count("aiosmtplib.SMTP(") == mail.count("sock=sock,") == 1
    users = {name for name in map(name_of, TREES) if "make_exchange(" in (ROOT / name).read_text("utf-8")}
    assert users == {"destinations/dial/connector.py", "destinations/webhook/destination.py"}


@pytest.mark.parametrize("path", [path for path in SOURCES if path.stat().st_size], ids=name_of)
def test_every_module_says_what_lives_in_it(path: Path) -> None:
    assert ast.get_docstring(TREES[path])


# Facts


def emitted() -> dict[str, set[str]]:
    """Return every fact that the sources emit, with the fields that they give it; `*` stands for part of a name."""
    found: dict[str, set[str]] = {}
    for tree in TREES.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", None) in ("emit", "failed") and node.args:
                name = _pattern(node.args[0])
                if name is not None:
                    found.setdefault(name, set()).update(word.arg for word in node.keywords if word.arg)
    return found


def _pattern(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in node.values)
    return None


def matching(pattern: str) -> set[str]:
    return {name for name in FACTS if name == pattern or ("*" in pattern and Path(name).match(pattern))}


def test_every_fact_is_known_and_every_known_fact_is_used() -> None:
    facts = emitted()
    unknown = {pattern for pattern in facts if not matching(pattern)}
    assert unknown == set()
    used = {name for pattern in facts for name in matching(pattern)}
    assert set(FACTS) == used


def test_every_field_of_a_fact_is_given_somewhere_and_none_is_unknown() -> None:
    facts = emitted()
    given: dict[str, set[str]] = {}
    for pattern, fields in facts.items():
        # A fact that is named in full somewhere is not one of those whose names are put together.
        for name in {pattern} & set(FACTS) or matching(pattern) - set(facts):
            given.setdefault(name, set()).update(fields)
    for name, (_, fields) in FACTS.items():
        assert given[name] <= fields, name
        assert fields <= given[name], name


# State


MUTABLE = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
MAKERS = {"list", "dict", "set", "defaultdict", "deque", "Counter", "bytearray", "OrderedDict", "Event", "Lock"}


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if "workers" not in path.parts and path.name != "guard.py"], ids=name_of
)
def test_no_module_holds_state_that_can_change(path: Path) -> None:
    changeable = [
        ast.unparse(node).partition("\n")[0]
        for node in TREES[path].body
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None and _is_mutable(node.value)
        and not _is_constant(node)
    ]  # fmt: skip
    assert changeable == []
    assert not any(isinstance(node, ast.Global) for node in ast.walk(TREES[path]))


def _is_mutable(value: ast.expr) -> bool:
    if isinstance(value, ast.Call):
        return getattr(value.func, "id", getattr(value.func, "attr", "")) in MAKERS
    return isinstance(value, MUTABLE)


def _is_constant(node: ast.Assign | ast.AnnAssign) -> bool:
    """Tell whether the name is written as a constant and typed as what cannot be changed, or never changed here."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return all(isinstance(target, ast.Name) and target.id.strip("_").isupper() for target in targets) or all(
        isinstance(target, ast.Name) and target.id == "__all__" for target in targets
    )
