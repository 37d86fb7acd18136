"""Strict JSON: what passes, what does not, and where the fault is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import BadJsonError
from pipeline.strictjson import MAX_DEPTH, check, parse

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=20,
)


@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_what_json_writes_passes(value: object, is_ascii: bool, indent: int | None) -> None:
    assert parse(json.dumps(value, ensure_ascii=is_ascii, indent=indent).encode()) == value


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        (b'{"a":1,\n "a":2}', 2, 2),
        (b'{"a":1,"\\u0061":2}', 1, 8),
        (b'[{"b":{"a":{"a":1},"c":["a","a"],"d":2}},{"x":1, "y": "{[", "x":3}]', 1, 61),
        ('{"ä":{"ö":1,"ö":2}}'.encode(), 1, 13),
        (b"NaN", 1, 1),
        (b"[1,\nInfinity]", 2, 1),
        (b"[1] 2", 1, 5),
        (b"", 1, 1),
        (b'["\\ud800"]', 1, 3),
        (b'"\xff"', 1, 1),
        (b"[" * 65 + b"]" * 65, 1, 65),
        (b'{"a":' * 65 + b"1" + b"}" * 65, 1, 321),
        (b'["]]]]",' * 65 + b"1" + b"]" * 65, 1, 513),
        (b"[" * 3000 + b"]" * 3000, 1, 1026),
    ],
)
def test_fault_has_its_position(text: bytes, line: int, column: int) -> None:
    with pytest.raises(BadJsonError) as caught:
        check(text)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert str(caught.value).endswith(f" at line {line}, column {column}")


@pytest.mark.parametrize(
    "text",
    [
        b"[" * MAX_DEPTH + b"]" * MAX_DEPTH,
        b'"' + b"[{" * 200 + b'"',
        b"[" + b'{"a":{}},' * 100 + b"1]",
        b'{"a":1.0e5,"b":12345678901234567890123,"c":"\\/","d":1e-300}',
        b' {"a" : {"a" : [ ] } }\r\n',
        b'{"x":"a","a":"x","b":["a","a"]}',
        b"9" * 300,
    ],
)
def test_odd_but_strict_passes(text: bytes) -> None:
    check(text)
