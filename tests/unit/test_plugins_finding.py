"""Plug-ins: how they are found, what can be wrong with one, and what it says then."""

import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from destinations.plugins.finding import Kinds
from destinations.registry import all_kinds, builtin_kinds
from pipeline.config.load import load_config
from pipeline.config.secret import Secret
from pipeline.config.settings import Config
from pipeline.errors import ConfigurationError
from tests.support.plugins import KIND, SCHEMA, installed


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path, whose modules are forgotten afterwards."""
    import sys

    before = set(sys.modules)
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    yield folder
    for name in set(sys.modules) - before:
        if (file := getattr(sys.modules[name], "__file__", None)) and file.startswith(str(folder)):
            del sys.modules[name]


def load(folder: Path, kinds: Kinds, text: str, **environ: str) -> Config:
    (folder / "sendoff.yaml").write_text(textwrap.dedent(text))
    return load_config(None, environ=environ, kinds=kinds.by_type, cwd=folder)


def faults(folder: Path, kinds: Kinds, text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(folder, kinds, text)
    return [str(fault) for fault in caught.value.faults]


def test_without_plug_ins_there_are_the_built_in_kinds() -> None:
    assert set(all_kinds().by_type) == set(builtin_kinds())
    assert all_kinds().warnings == ()


@pytest.mark.parametrize("target", ["box:KIND", "box:kind"])
def test_a_plug_in_stands_beside_the_built_in_kinds(target: str, path: Path) -> None:
    installed(path, "box-destination", {"box": target}, {"box": KIND + "\n    def kind(): return KIND\n"}, "0.3")
    kinds = all_kinds()
    assert set(kinds.by_type) == {*builtin_kinds(), "box"}
    assert kinds.plugins == {"box": "box-destination 0.3"}
    assert kinds.warnings == ()


def test_its_settings_are_those_of_the_configuration(path: Path) -> None:
    installed(path, "box-destination", {"box": "box:KIND"}, {"box": KIND})
    text = """
        destinations:
          here: {type: box, place: attic, token: "${TOKEN}", timeout: 2m, retry: [1s, 1m]}
        """
    config = load(path, all_kinds(), text, TOKEN="hunter2")
    options = config.destinations["here"].options
    assert (options.place, options.timeout, options.retry.waits) == ("attic", 120.0, (1.0, 60.0))
    assert isinstance(options.token, Secret)
    assert config.secrets == {"hunter2"}


def test_its_faults_have_their_places(path: Path) -> None:
    installed(path, "box-destination", {"box": "box:KIND"}, {"box": KIND})
    text = """\
        destinations:
          here:
            type: box
            plase: attic
            timeout: soon
            token: 5
          there: {type: bux, place: attic}
        """
    assert faults(path, all_kinds(), text) == [
        "sendoff.yaml:3:5: destinations.here: expected the key place, got none",
        'sendoff.yaml:4:5: destinations.here.plase: expected a known key (nearest: place), got "plase"',
        (
            "sendoff.yaml:5:14: destinations.here.timeout: expected a duration such as 500ms, 30s, 2m, 1h or 30d, "
            'got "soon"'
        ),
        "sendoff.yaml:6:12: destinations.here.token: expected text, got a number",
        (
            "sendoff.yaml:7:17: destinations.there.type: expected a kind of destination, built in or of an installed "
            'plug-in (nearest: box), got "bux"'
        ),
    ]


def changed(old: str, new: str) -> str:
    assert old in KIND
    return KIND.replace(old, new)


DURATION = '"$ref": "#/$defs/duration"'
BAD: Mapping[str, tuple[str, str, str]] = {
    "not there": ("box:KIND", "import nowhere_at_all", "cannot be imported: ModuleNotFoundError: No module named"),
    "no attribute": ("box:KIMD", KIND, "cannot be imported: AttributeError: module 'box' has no attribute 'KIMD'"),
    "exits": ("box:KIND", "raise SystemExit(3)", "cannot be imported: SystemExit: 3"),
    "none": ("box:SCHEMA", SCHEMA, "expected a destinations.base.Kind, or a function that returns one, got dict"),
    "returns none": ("box:kind", "def kind(): pass", "or a function that returns one, got None"),
    "raises": ("box:kind", "def kind(): return 1 / 0", "returns no kind: ZeroDivisionError: division by zero"),
    "other name": (
        "box:KIND",
        changed('kind="box"', 'kind="bux"'),
        "its kind is called 'bux', and its entry point 'box'",
    ),
    "callers": (
        "box:KIND",
        changed("make=Box", "make=Box, refusal_by=lambda settings: lambda url: None"),
        "it has refusal_by, which only callback may",
    ),
    "make": ("box:KIND", changed("make=Box", "make=None"), "its make is not callable, but None"),
    "no schema": ("box:KIND", changed("schema=SCHEMA", "schema=None"), "its schema is no JSON Schema, but None"),
    "bad schema": (
        "box:KIND",
        changed('"minLength": 1', '"minLength": "1"'),
        "its schema is no JSON Schema: at $.properties.place.minLength: '1' is not of type 'integer'",
    ),
    "old draft": (
        "box:KIND",
        changed('"type": "object",', '"$schema": "http://json-schema.org/draft-07/schema#",'),
        "its schema is of another draft than https://json-schema.org/draft/2020-12/schema",
    ),
    "no properties": ("box:KIND", changed("schema=SCHEMA", "schema={}"), "its schema has no properties"),
    "type": ("box:KIND", changed('"place": {', '"type": {'), "its schema has the property type"),
    "redefined": (
        "box:KIND",
        changed('"type": "object",', '"$defs": {"duration": {"type": "integer"}},'),
        "its schema cannot join the others: $defs/duration is defined twice, and differently",
    ),
    "nowhere": ("box:KIND", changed(DURATION, '"$ref": "#/$defs/spell"'), "its schema refers to #/$defs/spell, which"),
    "remote": ("box:KIND", changed(DURATION, '"$ref": "http://a.example/b"'), "none is fetched"),
    "circle": (
        "box:KIND",
        changed('"properties": {', '"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a", "properties": {'),
        "its schema cannot be used: RecursionError",
    ),
    "rate": (
        "box:KIND",
        changed('"place": {', '"rate": {"type": "string", "default": "44100"}, "place": {'),
        (
            "its schema has rate for something else than the attempts in a time, as which the service reads it: "
            'expected {"$ref": "#/$defs/rate"}, or another name'
        ),
    ),
    "unit": (
        "box:KIND",
        changed(DURATION, '"type": "string", "x-unit": "ells"'),
        "x-unit: ells, expected one of duration",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_one_that_cannot_be_used_is_a_warning_and_a_fault_where_it_is_configured(case: str, path: Path) -> None:
    target, source, said = BAD[case]
    installed(path, "box-destination", {"box": target}, {"box": source}, "0.3")
    kinds = all_kinds()
    (sentence,) = kinds.warnings
    assert sentence.startswith(f"the plug-in box-destination 0.3, entry point box = {target}: ")
    assert said in sentence
    assert kinds.plugins == {}
    load(path, kinds, "destinations: {a: {type: webhook, url: 'https://example.com'}}")
    (fault,) = faults(path, kinds, "destinations:\n  here: {type: box, place: attic, anything: 1}\n")
    prefix = "sendoff.yaml:2:16: destinations.here.type: expected a kind of destination that can be used, got box: "
    assert fault == prefix + sentence


def test_of_two_with_one_name_neither_is_used(path: Path) -> None:
    installed(path, "first", {"box": "box:KIND"}, {"box": KIND})
    installed(path, "second", {"box": "other:KIND"}, {"other": KIND})
    kinds = all_kinds()
    assert kinds.plugins == {}
    (sentence,) = kinds.warnings
    assert sentence == (
        "the plug-in first 1.0, entry point box = box:KIND: another plug-in has the same name; "
        "the plug-in second 1.0, entry point box = other:KIND: another plug-in has the same name"
    )
    (fault,) = faults(path, kinds, "destinations: {here: {type: box}}")
    assert fault.endswith(sentence)


def test_a_built_in_kind_is_never_replaced(path: Path) -> None:
    installed(path, "box-destination", {"webhook": "box:KIND"}, {"box": "raise SystemExit('it was imported')"})
    kinds = all_kinds()
    assert kinds.by_type["webhook"].schema == builtin_kinds()["webhook"].schema
    assert kinds.warnings == (
        (
            "the plug-in box-destination 1.0, entry point webhook = box:KIND: "
            "its name is that of a built-in kind, which stays"
        ),
    )


def test_two_that_define_one_thing_differently_do_not_both_join(path: Path) -> None:
    one = changed('"type": "object",', '"$defs": {"spell": {"type": "integer"}},')
    other = one.replace("integer", "string").replace('kind="box"', 'kind="case"')
    installed(path, "first", {"box": "box:KIND"}, {"box": one})
    installed(path, "second", {"case": "case:KIND"}, {"case": other})
    kinds = all_kinds()
    assert kinds.plugins == {"box": "first 1.0"}
    assert "its schema cannot join the others: $defs/spell is defined twice, and differently" in kinds.warnings[0]


HAVING = """
    from pipeline.config.settings import BreakerSpec

    def having(**shared):
        return type("Having", (Settings,), shared)(place="a")
    """


@pytest.mark.parametrize(
    "shared",
    ["rate=None, breaker=None, disable_after=None", "rate=0.5, breaker=BreakerSpec(failures=1), disable_after=3600"],
)
def test_what_the_service_reads_may_be_there(shared: str, path: Path) -> None:
    source = changed("lambda options: Settings(**options)", f"lambda options: having({shared})") + HAVING
    installed(path, "box-destination", {"box": "box:KIND"}, {"box": source})
    config = load(path, all_kinds(), "destinations: {here: {type: box, place: attic}}")
    assert config.destinations["here"].options.place == "a"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("1 / 0", "destinations.here.type: expected ValueError for what is wrong, got ZeroDivisionError: division by"),
        ("exit(3)", "destinations.here.type: expected ValueError for what is wrong, got SystemExit: 3 from box-dest"),
        (
            "Box('', None)",
            (
                "destinations.here.type: expected settings whose concurrency is a whole number from 1 to 1,000,000, "
                "got none from box-destination 1.0"
            ),
        ),
        ("Settings(place='a', concurrency=0)", "concurrency is a whole number from 1 to 1,000,000, got 0 from box"),
        ("Settings(place='a', concurrency=True)", "got bool from box"),
        ("Settings(place='a', concurrency=10**400)", "got int from box"),
        ("Settings(place='a', retry=[1])", "retry is a RetrySpec, as #/$defs/retry makes it, got list from box"),
        ("Settings(place='a', retry=RetrySpec(waits=('1s',)))", "retry is a RetrySpec"),
        ("Settings(place='a', retry=RetrySpec(waits=[1.0]))", "retry is a RetrySpec"),
        ("Settings(place='a', retry=RetrySpec(max_age='1h'))", "retry is a RetrySpec"),
        ("Settings(place='a', retry=RetrySpec(exponential=(1, 2)))", "retry is a RetrySpec"),
        ("having(rate='44100')", "rate is attempts in a second, as #/$defs/rate makes them, or None, got str from box"),
        ("having(rate=0)", "whose rate is"),
        ("having(rate=float('nan'))", "whose rate is"),
        ("having(breaker=True)", "breaker is a BreakerSpec, as #/$defs/breaker makes it, or None, got bool from box"),
        ("having(breaker=BreakerSpec(failures='10'))", "whose breaker is"),
        ("having(breaker=BreakerSpec(wait=0))", "whose breaker is"),
        ("having(disable_after='never')", "disable_after is seconds, as #/$defs/duration makes them, or None, got str"),
        ("having(disable_after=1e300)", "whose disable_after is"),
        (
            "having(rate=property(lambda self: 1 / 0))",
            "expected settings that can be read, got some that raise ZeroDivisionError: division by zero from box",
        ),
        (
            "(_ for _ in ()).throw(ValueError('place: expected one\\n that is there'))",
            "2:28: destinations.here.place: expected one that is",
        ),
        ("(_ for _ in ()).throw(ValueError())", "expected settings that can be used"),
    ],
)
def test_settings_that_it_cannot_make_are_a_fault(settings: str, said: str, path: Path) -> None:
    source = changed("lambda options: Settings(**options)", f"lambda options: {settings}") + HAVING
    installed(path, "box-destination", {"box": "box:KIND"}, {"box": source})
    (fault,) = faults(path, all_kinds(), "destinations:\n  here: {type: box, place: attic}\n")
    assert said in fault
    assert "\n" not in fault


@pytest.mark.parametrize(("act", "error"), [("1 / 0", "ZeroDivisionError"), ("exit(3)", "SystemExit: 3")])
def test_what_it_warns_of_never_stops_anybody(act: str, error: str, path: Path) -> None:
    source = changed("make=Box", f"make=Box, warn=lambda settings, ends: {act}")
    installed(path, "box-destination", {"box": "box:KIND"}, {"box": source})
    kind = all_kinds().by_type["box"]
    ((option, sentence),) = kind.warn(kind.settings({"place": "attic"}), frozenset())
    assert (option, f"box-destination 1.0 raised {error}" in sentence) == ("type", True)


@pytest.mark.parametrize(
    ("keys", "error"),
    [
        ("exit(3)", "box-destination 1.0 raised SystemExit: 3"),
        (
            "['whpk_']",
            "expected PublicKey objects, each with a text and a moment with a zone, from box-destination 1.0",
        ),
        ("[PublicKey(text=b'whpk_', until=None)]", "expected PublicKey objects"),
        ("[PublicKey(text='whpk_', until=datetime(2027, 1, 1))]", "expected PublicKey objects"),
    ],
)
def test_public_keys_that_are_none_are_told_when_it_is_made(keys: str, error: str, path: Path) -> None:
    source = changed("make=Box", f"make=Box, public_keys=lambda settings: {keys}")
    source += "\n    from datetime import datetime\n    from destinations.base import PublicKey\n"
    installed(path, "box-destination", {"box": "box:KIND"}, {"box": source})
    kind = all_kinds().by_type["box"]
    with pytest.raises((TypeError, RuntimeError), match=error):
        kind.public_keys(kind.settings({"place": "attic"}))


@pytest.mark.parametrize("recipients", ["['']", "()", "('a', 'a')", "(1,)", "('a\\n',)", "1 / 0", "exit(3)"])
def test_recipients_that_are_none_are_told_when_it_is_made(recipients: str, path: Path) -> None:
    installed(path, "box-destination", {"box": "box:KIND"}, {"box": changed('return ("",)', f"return {recipients}")})
    kind = all_kinds().by_type["box"]
    with pytest.raises((TypeError, ZeroDivisionError, RuntimeError)):
        kind.make("here", kind.settings({"place": "attic"}))
