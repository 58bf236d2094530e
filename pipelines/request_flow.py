"""Placeholder."""

from registry.home import Home


def hand_over(home: Home, number: int) -> None:
    """Nothing yet."""


def wake(home: Home, number: int) -> None:
    """Nothing yet."""


def serve_requests(home: Home, *, port: int = 0) -> None:
    """Nothing yet."""
