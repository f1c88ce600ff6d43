"""Opens a bundle for ``mlflow.pyfunc.load_model``; for notebooks, not used by serving."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.registry.bundle import MANIFEST, digest, open_bundle
from models.registry.encoding import days_of


def _load_pyfunc(path: str) -> Any:
    """Load a bundle (MLflow requires this name); ``predict`` takes a DataFrame.

    With a column ``as_of``, rows of the past have the level of their time.
    """
    files = {p.name: p.read_bytes() for p in Path(path).iterdir() if p.is_file()}
    model = open_bundle("pyfunc", files, digest(files[MANIFEST]))
    has_past = getattr(model.fitted, "past", None) is not None

    class Predictor:
        def predict(self, frame: Any, params: Any = None) -> Any:  # noqa: ARG002 - MLflow's signature
            days = days_of(frame["as_of"]) if has_past and "as_of" in frame else None
            return model.score({name: frame[name].tolist() for name in frame}, days)

    return Predictor()
