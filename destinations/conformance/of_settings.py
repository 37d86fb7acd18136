"""Checks of a kind's schema and settings, for which nothing is sent."""

import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from destinations.common import NAMES, common_of
from destinations.conformance.loading import AT, NAME
from destinations.conformance.samples import HOSTILE
from destinations.conformance.trial import Trials, expect
from destinations.conformance.vocabulary import has_secret, objects, unknown_keywords
from destinations.conformance.watching import watched
from destinations.plugins.checking import fault_of
from destinations.registry import builtin_kinds

_ANYTHING: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    2**70,
    0.5,
    "",
    " ",
    "x",
    HOSTILE,
    "0s",
    "1h",
    [],
    ["x"],
    [1, 1],
    {},
    {"x": 1},
)


class OfSettings(Trials):
    """What holds of a kind that is not in use."""

    def test_the_kind_can_stand_beside_the_built_in_ones(self) -> None:
        others = {name: kind for name, kind in builtin_kinds().items() if name != self.kind.kind}
        fault = fault_of(self.kind, self.kind.kind, others)
        expect(fault is None, f"expected a kind that can be used, got: {fault}")

    def test_the_schema_has_only_keywords_that_are_known(self) -> None:
        unknown = unknown_keywords(self.kind.schema)
        expect(not unknown, f"expected keywords that somebody reads, got {', '.join(unknown)}")

    def test_the_schema_takes_no_setting_that_it_does_not_name(self) -> None:
        for path, part in objects(self.kind.schema):
            is_closed = part.get("additionalProperties", bool(path)) is False  # the loader closes the top by itself
            expect(is_closed, f"expected additionalProperties: false at {path or 'the top'} of the schema")

    def test_every_setting_is_described(self) -> None:
        for path, part in objects(self.kind.schema):
            for name, schema in part["properties"].items():
                described = isinstance(schema, Mapping) and str(schema.get("description", "")).strip()
                expect(described, f"expected a description of {path}{'.' if path else ''}{name}, got none")

    def test_what_the_service_reads_is_there_and_is_what_it_expects(self) -> None:
        names = self.kind.schema["properties"].keys()
        expect({"concurrency", "retry"} <= names, "expected the settings concurrency and retry in the schema")
        shared = [name for name in NAMES if name in names]
        with self.receiver() as receiver:
            settings = self.settings(receiver.options)
            for name in shared:
                expect(hasattr(settings, name), f"expected settings with {name}, as it is in the schema, got none")
            _are_read(settings, "the receiver's options")
            for name, value in self._strange_options(shared):
                loaded = self.loaded({**receiver.options, name: value})
                if loaded.settings is not None:
                    _are_read(loaded.settings, f"{name}: {value!r:.60}")

    def test_what_is_left_out_has_the_default_of_the_schema(self) -> None:
        with self.receiver() as receiver:
            options = dict(receiver.options)
            for name, schema in self.kind.schema["properties"].items():
                if name in self.kind.schema.get("required", ()):
                    continue
                expect("default" in schema, f"expected a default of {name} in the schema, as it may be left out")
                without = {key: value for key, value in options.items() if key != name}
                left_out = self.loaded(without)
                if left_out.faults:  # it may be left out, but not beside the receiver's other options
                    continue
                written = self.loaded({**without, name: schema["default"]})
                expect(not written.faults, f"expected the default of {name} to be one, got {written.told}")
                expect(
                    written.settings == left_out.settings,
                    f"expected {name} left out to be the same as its default {json.dumps(schema['default'])}",
                )

    def test_the_same_options_give_equal_settings(self) -> None:
        with self.receiver() as receiver:
            first, second = self.settings(receiver.options), self.settings(receiver.options)
            expect(first == second, "expected equal settings of the same options: a reload replaces what differs")

    def test_the_settings_cannot_be_changed(self) -> None:
        settings = self._of_receiver()
        for name in ("concurrency", *vars(type(settings)).get("__dataclass_fields__", ())):
            try:
                setattr(settings, name, getattr(settings, name))
            except (AttributeError, TypeError):
                continue
            raise AssertionError(f"expected frozen settings, got some whose {name} can be set")

    def test_what_cannot_be_used_is_refused_by_the_name_of_its_setting(self) -> None:
        with self.receiver() as receiver:
            for name, value in self.bad_options.items():
                loaded = self.loaded({**receiver.options, name: value})
                expect(loaded.faults, f"expected {name}: {value!r:.100} to be refused, got settings")
                for fault in loaded.faults:
                    is_named = fault.path.startswith(f"{AT}.{name}")
                    expect(is_named, f'expected "{name}: expected ...", got "{fault.message}" at {fault.path}')

    def test_whatever_the_schema_lets_pass_is_taken_or_refused(self) -> None:
        with self.receiver() as receiver:
            for name, value in self._strange_options(self.kind.schema["properties"]):
                loaded = self.loaded({**receiver.options, name: value})
                for fault in loaded.refused:
                    is_named = fault.path.startswith(f"{AT}.")
                    expect(is_named, f'{name}: {value!r:.60}: expected "SETTING: what is wrong", got "{fault.message}"')
                if loaded.faults:
                    continue
                try:
                    self.kind.make(NAME, loaded.settings)
                except Exception as error:
                    said = f"{type(error).__name__}: {error}"
                    raise AssertionError(
                        f"{name}: {value!r:.60}: settings() took it, and make() raised {said}"
                    ) from error

    def test_making_one_touches_nothing(self) -> None:
        settings = self._of_receiver()
        with watched(only_waiting=False) as done:
            threads = set(threading.enumerate())
            self.kind.make(NAME, settings)
            done += [f"the thread {thread.name}" for thread in set(threading.enumerate()) - threads]
        expect(not done, f"expected make() to do no I/O, got {', '.join(done)}")

    def test_secrets_are_not_shown_in_a_repr(self) -> None:
        with self.receiver() as receiver:
            options = (receiver.options, *receiver.other_options())
            for name, schema in self.kind.schema["properties"].items():
                is_seen = not has_secret(schema) or any(each.get(name) for each in options)
                expect(is_seen, f"expected a value of the secret {name} among the receiver's options, got none")
            for each in options:
                self._shows_no_secret(each)

    def _shows_no_secret(self, options: Mapping[str, Any]) -> None:
        loaded = self.loaded(options)
        made = self.kind.make(NAME, self.settings(options))
        for what, shown in (("settings", repr(loaded.settings)), ("destination", f"{made!r} {made}")):
            is_hidden = not any(secret in shown for secret in loaded.secrets)
            expect(is_hidden, f"expected the repr of the {what} to show no secret, got one")

    def _of_receiver(self) -> Any:
        with self.receiver() as receiver:
            return self.settings(receiver.options)

    def _strange_options(self, names: Iterable[str]) -> Iterator[tuple[str, Any]]:
        for name in names:
            schema = self.kind.schema["properties"][name]
            for value in (*_ANYTHING, *schema.get("enum", ()), *schema.get("examples", ())):
                yield name, value
            for path, part in objects(schema):
                if "items" not in path:
                    yield from ((name, {key: value}) for key in part["properties"] for value in _ANYTHING)


def _are_read(settings: Any, what: str) -> None:
    try:
        common_of(settings)
    except Exception as error:
        raise AssertionError(f"{what}: {error}") from error
