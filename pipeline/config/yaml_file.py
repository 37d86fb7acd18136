"""Reads YAML 1.2 text into a `Source`: ruamel.yaml composes the nodes, here they become plain values.

Only the core tags are known, and a timestamp stays the text it is: no object is ever made from a tag.
"""

import math
import re
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import MaxDepthExceededError
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from pipeline.config.source import START, Mark, Place, Source, path_text
from pipeline.config.words import show
from pipeline.errors import ConfigurationError, Fault

MAX_DEPTH = 64
MAX_NODES = 100_000
# In YAML 1.1 `yes` is true, 0777 is 511 and 12:30 is 750: nobody is to wonder which it is.
_OTHER_VERSION = re.compile(r"^%YAML[ \t]+(?!1\.2[ \t]*$)[^\n]*", re.MULTILINE)
_TAG = "tag:yaml.org,2002:"
# YAML 1.2 has neither timestamps nor `=` nor `<<`; the resolver finds them all the same.
_TEXT_TAGS = frozenset({f"{_TAG}{name}" for name in ("str", "timestamp", "value", "merge")})
_SCALAR_TAGS = _TEXT_TAGS | {f"{_TAG}{name}" for name in ("null", "bool", "int", "float")}


def read_yaml(text: str, file: str) -> Source:
    """Return the document in `text`; an empty one is an empty mapping.

    Raises ConfigurationError where the text cannot be read at all; single bad values become faults of the source.
    """
    if (directive := _OTHER_VERSION.search(text)) is not None:
        mark = _mark_of_index(text, directive.start())
        raise _unreadable(file, mark, f"expected YAML 1.2, got {directive[0]}")
    yaml = YAML(typ="safe", pure=True)
    yaml.max_depth = MAX_DEPTH
    yaml.composer.warn_double_anchors = False  # an anchor may be defined again, and warnings are not ours to print
    try:
        root = yaml.compose(text)
    except MarkedYAMLError as error:
        raise _unreadable(file, _mark(error.problem_mark or error.context_mark), _sentence(error)) from error
    except ReaderError as error:
        message = f"expected printable text, got the character #x{ord(text[error.position]):04x}"
        raise _unreadable(file, _mark_of_index(text, error.position), message) from error
    reading = _Reading(file=file, scalars=yaml.constructor)
    value = reading.nothing() if root is None else reading.value(root, ())
    if not isinstance(value, dict) and () not in reading.broken:
        # Not which text: a file of secrets may have been named by mistake.
        got = "text" if isinstance(value, str) else show(value)
        message = f"expected a mapping at the top of the file, such as `destinations:` with names below it, got {got}"
        reading.spoil((), _mark(root.start_mark), message)
    source = Source(file=file, value=value, keys=reading.keys, values=reading.values)
    return source.with_faults(reading.faults, reading.broken)


@dataclass(slots=True, kw_only=True)
class _Reading:
    """One walk over the nodes; aliases are expanded, so the same node may be met many times."""

    file: str
    scalars: Any
    """ruamel's own constructor: it turns the text of numbers into numbers."""
    keys: dict[Place, Mark] = field(default_factory=dict)
    values: dict[Place, Mark] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    broken: set[Place] = field(default_factory=set)
    count: int = 0

    def nothing(self) -> dict[str, Any]:
        """Return what an empty document stands for, which is at its own beginning all the same."""
        self.values[()] = START
        return {}

    def note(self, place: Place, mark: Mark, message: str) -> None:
        self.faults.append(
            Fault(file=self.file, line=mark.line, column=mark.column, path=path_text(place), message=message)
        )

    def spoil(self, place: Place, mark: Mark, message: str) -> None:
        """Note a fault that leaves the place without its value."""
        self.note(place, mark, message)
        self.broken.add(place)

    def value(self, node: Node, place: Place) -> Any:
        mark = _mark(node.start_mark)
        self.values[place] = mark
        self.count += 1
        if len(place) > MAX_DEPTH:
            raise _unreadable(self.file, mark, f"expected at most {MAX_DEPTH} levels, got more")
        if self.count > MAX_NODES:
            raise _unreadable(self.file, mark, f"expected at most {MAX_NODES} values, got more (aliases count in full)")
        match node:
            case MappingNode() if node.tag == f"{_TAG}map":
                return self._mapping(node, place)
            case SequenceNode() if node.tag == f"{_TAG}seq":
                return [self.value(item, (*place, index)) for index, item in enumerate(node.value)]
            case ScalarNode() if node.tag in _SCALAR_TAGS:
                return self._scalar(node, place, mark)
        self.spoil(place, mark, f"expected no tag, got {str(node.tag).replace(_TAG, '!!')}")
        return None

    def _mapping(self, node: MappingNode, place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            mark = _mark(key_node.start_mark)
            if not isinstance(key_node, ScalarNode):
                self.note(place, mark, "expected a key of text, got a list or a mapping")
                continue
            key = key_node.value  # `123:` and `on:` are names like any other
            here = (*place, key)
            if key_node.tag == f"{_TAG}merge":
                self.note(here, mark, "expected no merge key (YAML 1.2 has none), got <<")
            elif key in found:
                self.note(here, mark, f"expected each key once, got {key} again (first in line {self.keys[here].line})")
            else:
                self.keys[here] = mark
                found[key] = self.value(value_node, here)
        return found

    def _scalar(self, node: ScalarNode, place: Place, mark: Mark) -> Any:
        if node.tag in _TEXT_TAGS:
            return node.value
        try:
            match str(node.tag).removeprefix(_TAG):
                case "null":
                    return None
                case "bool":
                    return self.scalars.construct_yaml_bool(node)
                case "int":
                    return self.scalars.construct_yaml_int(node)
                case _ if math.isfinite(number := self.scalars.construct_yaml_float(node)):
                    return number
        except (ValueError, LookupError):
            pass  # such as `0b_`, or `!!int many`
        self.spoil(place, mark, "expected a finite number or true or false, got something that only looks like one")
        return None


def _mark(mark: Any) -> Mark:
    return START if mark is None else Mark(line=mark.line + 1, column=mark.column + 1)


def _mark_of_index(text: str, index: int) -> Mark:
    before = text[:index]
    return Mark(line=before.count("\n") + 1, column=index - (before.rfind("\n") + 1) + 1)


def _sentence(error: MarkedYAMLError) -> str:
    if isinstance(error, MaxDepthExceededError):
        return f"expected at most {MAX_DEPTH} levels, got more"
    parts = (" ".join(part.split()) for part in (error.context, error.problem) if part)
    return f"cannot be read as YAML: {', '.join(parts)}"


def _unreadable(file: str, mark: Mark, message: str) -> ConfigurationError:
    return ConfigurationError([Fault(file=file, line=mark.line, column=mark.column, path="", message=message)])
