"""What `patron up` trains before it serves: the models without a usable version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from commands import up
from core.home import Home
from core.progress import silent
from models.questions import MODELS
from models.registry.bundle import FittedModel
from models.registry.registry import Registry
from training import every_model


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """For each training of all models, the names that it leaves alone."""
    calls: list[set[str]] = []

    def train_all(_: Home, __: None, ___: Any, usable: Mapping[str, Any]) -> tuple[list[Any], dict[str, str]]:
        calls.append(set(usable))
        return [], {"churn": "churn cannot be trained"}

    monkeypatch.setattr(every_model, "train_all", train_all)
    return calls


def test_nothing_is_trained_if_all_models_have_usable_versions(
    trained_copy: Home, trained: list[set[str]]
) -> None:
    report = up._make_ready(trained_copy, silent)
    assert not trained
    assert len(report) == len(MODELS)
    assert all(line.startswith(name) for line, name in zip(report, MODELS, strict=True))


def test_only_models_without_a_version_are_trained(trained_copy: Home, trained: list[set[str]]) -> None:
    Registry(trained_copy).mlflow.client.delete_registered_model("churn")
    report = up._make_ready(trained_copy, silent)
    assert trained == [set(MODELS) - {"churn"}]
    assert report[-1] == "churn cannot be trained"


def test_all_are_trained_if_definitions_changed(
    trained_copy: Home, trained: list[set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    check = FittedModel.check_definitions

    def changed(self: FittedModel, current: Mapping[str, str]) -> None:
        check(self, dict(current) | {"orders_total": "of another release"})

    monkeypatch.setattr(FittedModel, "check_definitions", changed)
    up._make_ready(trained_copy, silent)
    assert trained == [set()]
