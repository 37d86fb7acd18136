"""YAML to plain values with positions: what is read, what is refused, and where."""

import pytest

from pipeline.config.environment import substitute
from pipeline.config.source import Mark, path_text
from pipeline.config.yaml_file import read_yaml
from pipeline.errors import ConfigurationError


def refusal(text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read_yaml(text, "f.yaml")
    return str(caught.value)


def test_every_key_and_value_has_its_position() -> None:
    source = read_yaml("a: 1\nb:\n  - {c: text}\n", "f.yaml")
    assert source.value == {"a": 1, "b": [{"c": "text"}]}
    assert source.keys[("b", 0, "c")] == Mark(line=3, column=6)
    assert source.values[("b", 0, "c")] == Mark(line=3, column=9)
    assert source.values[("b",)] == Mark(line=3, column=3)


def test_an_empty_document_is_an_empty_mapping() -> None:
    assert read_yaml("# nothing\n", "f.yaml").value == {}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("012", 12),
        ("0x1F", 31),
        ("1e3", 1000.0),
        ("~", None),
        ("True", True),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("!!str 12", "12"),
        ("12:30", "12:30"),
        ("=", "="),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    assert read_yaml(f"a: {text}", "f.yaml").value == {"a": value}


def test_keys_are_text_whatever_they_look_like() -> None:
    assert read_yaml("123: a\non: b\nnull: c\n", "f.yaml").value == {"123": "a", "on": "b", "null": "c"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: 1\nb: 2\na: 3", "f.yaml:3:1: a: expected each key once, got a again (first in line 1)"),
        ("a: !python/name:os.system x", "f.yaml:1:4: a: expected no tag, got !python/name:os.system"),
        ("a: !!binary aGk=", "f.yaml:1:4: a: expected no tag, got !!binary"),
        ("<<: {a: 1}", "f.yaml:1:1: <<: expected no merge key (YAML 1.2 has none), got <<"),
        ("? [a]\n: 1", "f.yaml:1:3: expected a key of text, got a list or a mapping"),
        ("a: .nan", "f.yaml:1:4: a: expected a finite number or true or false, got something that only looks like one"),
        (
            "- a",
            (
                "f.yaml:1:1: expected a mapping at the top of the file, such as `destinations:` with names below it, "
                "got a list"
            ),
        ),
    ],
)
def test_a_bad_node_is_a_fault_of_the_source(text: str, fault: str) -> None:
    assert [str(found) for found in read_yaml(text, "f.yaml").faults] == [fault]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "a: [1, 2\nb: 3",
            "f.yaml:2:2: cannot be read as YAML: while parsing a flow sequence, expected ',' or ']', but got ':'",
        ),
        (
            "a: 1\n---\nb: 2",
            "f.yaml:2:1: cannot be read as YAML: expected a single document in the stream, but found another document",
        ),
        ("a: *b", "f.yaml:1:4: cannot be read as YAML: found undefined alias 'b'"),
        ("a: b\nc: \x07", "f.yaml:2:4: expected printable text, got the character #x0007"),
        ("[" * 100_000, "f.yaml:1:65: expected at most 64 levels, got more"),
        ("a: &a [*a]", "f.yaml:1:4: expected at most 64 levels, got more"),
    ],
)
def test_what_cannot_be_read_is_one_fault_with_its_position(text: str, fault: str) -> None:
    assert refusal(text) == fault


def test_aliases_count_in_full() -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 8)}]" for n in range(1, 12)]
    assert "expected at most 100000 values, got more (aliases count in full)" in refusal("\n".join(lines))


def test_an_alias_is_its_anchor_s_value() -> None:
    assert read_yaml("a: &x {b: 1}\nc: *x\n", "f.yaml").value == {"a": {"b": 1}, "c": {"b": 1}}


def test_the_environment_is_put_into_texts_and_remembered() -> None:
    source = substitute(read_yaml("a: 'x-${A}-${B_1}'\nb: ['$${A}']\n'${A}': 1", "f"), {"A": "1", "B_1": "${A}"})
    assert source.value == {"a": "x-1-${A}", "b": ["${A}"], "${A}": 1}
    assert source.environment[("a",)].written == "x-${A}-${B_1}"
    assert source.environment[("a",)].values == ("1", "${A}")
    assert not source.faults


def test_every_variable_that_is_not_set_is_a_fault_even_in_one_value() -> None:
    faults = substitute(read_yaml("a: '${A}${B}'", "f"), {}).faults
    assert [str(fault) for fault in faults] == [
        f"f:1:4: a: expected the environment variable {name} to be set, got nothing" for name in "AB"
    ]


@pytest.mark.parametrize("text", ["${}", "${A", "${1}", "${A:-x}", "${ A}"])
def test_half_a_reference_is_a_fault(text: str) -> None:
    source = substitute(read_yaml(f"a: '{text}'", "f"), {"A": "1"})
    message = "expected ${NAME}, got ${ with something else behind it; write $${ for a literal ${"
    assert [str(fault) for fault in source.faults] == [f"f:1:4: a: {message}"]


def test_places_are_written_so_that_they_can_be_read() -> None:
    assert path_text(("destinations", "a-b", "secrets", 0)) == "destinations.a-b.secrets[0]"
    assert path_text(("functions", "a b", "x.y", "\n")) == r"functions['a b']['x.y']['\n']"
