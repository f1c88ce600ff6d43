"""Scores single rows through LightGBM's C interface, without the overhead of ``Booster.predict``.

``LGBM_BoosterPredictForMatSingleRowFast`` (LightGBM's c_api.h) reads a row from a buffer registered once.
Its raw scores are those of ``Booster.predict`` to the last bit.
"""

from __future__ import annotations

import ctypes
import threading
import weakref
from typing import TYPE_CHECKING

import numpy as np

from models.estimator import Array

if TYPE_CHECKING:
    import lightgbm as lgb

_DOUBLE, _RAW_SCORE = 1, 1  # C_API_DTYPE_FLOAT64, C_API_PREDICT_RAW_SCORE


class SingleRow:
    """Raw scores of single rows; thread-safe."""

    def __init__(self, booster: lgb.Booster) -> None:
        from lightgbm import basic

        # PyDLL keeps the GIL: releasing it for some microseconds may cost milliseconds.
        self._library = ctypes.PyDLL(basic._LIB._name)
        self._booster = booster  # keeps it from being freed
        self._row = np.empty(booster.num_feature())
        self._score, self._length = ctypes.c_double(), ctypes.c_int64()
        self._lock = threading.Lock()
        self._config = ctypes.c_void_p()
        self._checked = basic._safe_call
        self._checked(
            self._library.LGBM_BoosterPredictForMatSingleRowFastInit(
                booster._handle, _RAW_SCORE, 0, -1, _DOUBLE, len(self._row), b"num_threads=1",
                ctypes.byref(self._config),
            )
        )  # fmt: skip
        weakref.finalize(self, self._library.LGBM_FastConfigFree, self._config)
        self._arguments = (
            self._config, self._row.ctypes.data_as(ctypes.c_void_p),
            ctypes.byref(self._length), ctypes.byref(self._score),
        )  # fmt: skip

    def raw(self, row: Array) -> float:
        """The raw score of a row; NaN stands for a missing value."""
        with self._lock:
            self._row[:] = row
            self._checked(self._library.LGBM_BoosterPredictForMatSingleRowFast(*self._arguments))
            return self._score.value
