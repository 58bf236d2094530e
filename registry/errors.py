"""Every error that a user can meet, in one tree; the command line turns each into its exit code.

DmmGovError              1  something failed; the message says what and what to do
├── InputError           2  what was handed in cannot be used (expected, got, what to do)
│   ├── FeedError        2  a feed that cannot be read as a whole (a bad row is never an error)
│   ├── ModelError       2  a model that is not there, or of a family without a layout
│   └── UnknownNameError 2  a name that is not registered (with the nearest ones)
├── EditError            1  an edit that cannot be computed or applied
├── IntegrityError       1  a digest that differs from the recorded one
├── BusyError            1  another process holds the writer's lock for longer than we wait
└── BlockedError         3  a gate or a rule forbids it
"""

from collections.abc import Iterable

MOST_NAMES = 40
"""So many names are told where none is near; more would be no help."""


class DmmGovError(Exception):
    """Base of every error that this project raises on purpose."""

    exit_code = 1


class InputError(DmmGovError):
    """What was handed in cannot be used."""

    exit_code = 2

    def __init__(self, expected: str, got: str, todo: str) -> None:
        """Word the three things a reader needs: what was expected, what came, what to do."""
        super().__init__(f"expected {expected}, got {got}; {todo}")
        self.expected, self.got, self.todo = expected, got, todo


class FeedError(InputError):
    """A feed that cannot be read as a whole: missing, empty, binary, or without the needed columns."""


class ModelError(InputError):
    """A model that cannot be had, or whose family has no layout."""


class UnknownNameError(InputError):
    """A name that is not registered; the message names the nearest ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        """Say which `kind` of thing `name` was looked up as, and what there is instead."""
        from difflib import get_close_matches

        names = sorted(known)
        near = get_close_matches(name, names, n=3)
        all_of_them = ", ".join(names) if len(names) <= MOST_NAMES else f"{len(names)}, none of them like it"
        todo = f"did you mean {' or '.join(near)}?" if near else f"there are: {all_of_them or 'none yet'}"
        super().__init__(f"the name of a known {kind}", repr(name), todo)


class EditError(DmmGovError):
    """An edit that cannot be computed or applied."""


class IntegrityError(DmmGovError):
    """A digest that differs from the one recorded: never a warning."""

    def __init__(self, what: str, recorded: str, found: str) -> None:
        """Name the thing and both digests."""
        super().__init__(
            f"{what}: the recorded digest is {recorded}, found {found}; do not serve it, run `dmmgov audit`"
        )
        self.what, self.recorded, self.found = what, recorded, found


class BusyError(DmmGovError):
    """Another process holds the writer's lock for longer than we were told to wait."""


class BlockedError(DmmGovError):
    """A gate or a rule forbids it; nothing was published."""

    exit_code = 3
