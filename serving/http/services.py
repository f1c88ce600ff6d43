"""The services of an application; routes get them by their class.

A slice declares what its routes need, ``ScorerDep = Annotated[Scorer, service(Scorer)]``, and the application
adds one instance of each class.
"""

from __future__ import annotations

from typing import Any, TypeVar

from fastapi import Depends, FastAPI, Request

T = TypeVar("T")


class Services:
    """One instance per class."""

    def __init__(self) -> None:
        self._instances: dict[type[Any], Any] = {}

    def add(self, instance: T, kind: type[T] | None = None) -> T:
        """Add an instance, and return it.

        Args:
            kind: the class that routes name; by default that of the instance.
        """
        self._instances[kind or type(instance)] = instance
        return instance

    def __getitem__(self, kind: type[T]) -> T:
        """The instance of a class."""
        instance: T = self._instances[kind]
        return instance


def install(app: FastAPI, services: Services) -> None:
    """Let the routes of an application use these services."""
    app.state.services = services


def services_of(app: FastAPI) -> Services:
    """The services of an application."""
    services: Services = app.state.services
    return services


def service(kind: type[Any]) -> Any:
    """A dependency: the application's instance of a class."""

    # Async, so that FastAPI calls it directly, without a thread.
    async def instance(request: Request) -> Any:
        return services_of(request.app)[kind]

    return Depends(instance)
