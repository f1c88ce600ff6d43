"""Opens a bundle for ``mlflow.pyfunc.load_model``; for notebooks, not used by serving."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from models.registry.bundle import MANIFEST, digest, open_bundle


def _load_pyfunc(path: str) -> Any:
    """Load a bundle (MLflow requires this name); ``predict`` takes a DataFrame."""
    files = {p.name: p.read_bytes() for p in Path(path).iterdir() if p.is_file()}
    model = open_bundle("pyfunc", files, digest(files[MANIFEST]))

    class Predictor:
        def predict(self, frame: Any, params: Any = None) -> Any:  # noqa: ARG002 - MLflow's signature
            return model.score({name: frame[name].tolist() for name in frame})

    return Predictor()
