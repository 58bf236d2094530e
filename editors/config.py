"""Reading an editor's config from YAML: numbers only, every key known, every type and range as declared."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from registry.errors import InputError, UnknownNameError
from registry.ranges import Within

T = TypeVar("T")


def read_config(kind: type[T], path: Path, folder: str = "") -> T:
    """Read a config dataclass from a YAML file; a key that is left out keeps its default.

    Args:
        kind: the dataclass.
        path: the file.
        folder: a key that names a folder, from the file's own folder on; null is none.

    Raises:
        InputError: the file is missing, not a mapping, or a value has the wrong type or lies out of range.
        UnknownNameError: a key that the config does not have.
    """
    values = read_values(path, kind.__name__)
    named = values.pop(folder, None) if isinstance(values, dict) else None
    if not isinstance(named, str | None):
        raise InputError(f"a folder for {folder} in {path}", repr(named), "mend the file")
    return build_config(kind, values, str(path), **({folder: path.parent / named} if named else {}))


def read_values(path: Path, what: str) -> Any:
    """The plain values of a YAML file; an empty file gives none.

    Args:
        path: the file.
        what: whose numbers they are, for messages.

    Raises:
        InputError: the file is missing or no YAML.
    """
    import yaml

    from registry.safe_yaml import load_yaml

    if not path.is_file():
        raise InputError(f"a YAML file for {what}", str(path), "name an existing file")
    try:
        return load_yaml(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"YAML in {path}", str(error).replace("\n", " "), "mend the file") from error


def build_config(kind: type[T], values: Any, where: str, **ready: Any) -> T:
    """Build a config dataclass from plain values, and from some that are taken as they are; see `read_config`."""
    if not isinstance(values, Mapping):
        raise InputError(f"a mapping in {where}", type(values).__name__, "mend the file")
    types = get_type_hints(kind, include_extras=True)
    known = {item.name: item for item in fields(kind)}  # type: ignore[arg-type]
    built: dict[str, Any] = dict(ready)
    for name, value in values.items():
        if name not in known:
            raise UnknownNameError(f"key of {where}", str(name), known)
        built[name] = _value(types[name], value, f"{name} in {where}")
    return kind(**built)


def _value(kind: Any, value: Any, where: str) -> Any:
    """One value: a nested config, a list of whole numbers, a number, yes or no, or one of a few words; nothing else."""
    if get_origin(kind) is Annotated:
        plain, *ranges = get_args(kind)
        return _within(ranges, _value(plain, value, where), where)
    if is_dataclass(kind) and isinstance(kind, type):
        return build_config(kind, value, where)
    if kind is float and type(value) in (int, float):
        return float(value)
    if kind in (int, bool) and type(value) is kind:
        return value
    if get_origin(kind) is Literal:
        if value in get_args(kind):
            return value
        raise InputError(f"one of {', '.join(map(str, get_args(kind)))} for {where}", repr(value), "mend the file")
    if get_origin(kind) is tuple and isinstance(value, list) and all(type(item) is int for item in value):
        return tuple(value)
    wanted = {int: "a whole number", float: "a number", bool: "true or false"}.get(kind, "a list of whole numbers")
    known = kind in (int, float, bool) or kind == tuple[int, ...]
    raise InputError(
        f"{wanted} for {where}" if known else f"nothing for {where} in a file", repr(value), "mend the file"
    )


def _within(ranges: Sequence[Within], number: float, where: str) -> float:
    """A number that lies in every one of some ranges."""
    for one in ranges:
        try:
            one.checked(number)
        except ValueError as error:
            raise InputError(f"{one.words} for {where}", repr(number), "mend the file") from error
    return number
