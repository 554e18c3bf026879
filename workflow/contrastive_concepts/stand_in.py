"""Replacements for objects of unknown classes in a pickle: they keep the contents and run no code."""

from collections.abc import Iterator, Mapping
from typing import Any

TRANSPARENT = frozenset({"_parameters", "_buffers", "_modules"})
"""Attributes of a pickled torch module that do not appear in the dotted names of its tensors."""


class StandIn(dict[Any, Any]):
    """Stores everything that pickle passes to an object (arguments, items, state) as entries of a dict, or drops it."""

    __hash__ = object.__hash__  # type: ignore[assignment]
    __eq__ = object.__eq__

    def __new__(cls, *arguments: Any, **named: Any) -> "StandIn":
        return super().__new__(cls)

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__()
        self.__setstate__(arguments)

    def __setstate__(self, state: Any) -> None:
        for part in state if isinstance(state, tuple) else (state,):
            if isinstance(part, dict):
                self.update(part)

    def __call__(self, *arguments: Any, **named: Any) -> "StandIn":
        return self

    def append(self, value: Any) -> None:
        self[len(self)] = value

    def extend(self, values: Any) -> None:
        for value in values:
            self.append(value)

    add = append

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("a stand-in is never written")


def stand_in() -> type[StandIn]:
    """A new class for one global of a pickle: the pickle can set attributes on it. Nothing is imported."""
    return type("StandIn", (StandIn,), {})


def leaves(content: Any) -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, value) of all values in nested mappings and lists. Each container is visited once."""
    waiting: list[tuple[str, Any]] = [("", content)]
    visited: set[int] = set()
    while waiting:
        name, node = waiting.pop()
        if not isinstance(node, Mapping | list | tuple):
            yield name, node
            continue
        if id(node) in visited:
            continue
        visited.add(id(node))
        entries = node.items() if isinstance(node, Mapping) else enumerate(node)
        named = [(_joined(name, key), value) for key, value in entries if isinstance(key, str | int)]
        waiting += reversed(named)


def _joined(name: str, key: str | int) -> str:
    if key in TRANSPARENT:
        return name
    return f"{name}.{key}" if name else str(key)
