"""The least and the greatest struct, for warehouses whose structs have no order."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import ibis.expr.operations as ops


class FirstStruct:
    """Part of a compiler: the base before that of Ibis' own, from which it must not inherit."""

    def visit_Min(self, op: ops.Min, *, arg: Any, where: Any) -> Any:  # noqa: N802
        """The least value."""
        if not op.arg.dtype.is_struct():
            return super().visit_Min(op, arg=arg, where=where)  # type: ignore[misc]
        return self._first(arg, where, desc=False)

    def visit_Max(self, op: ops.Max, *, arg: Any, where: Any) -> Any:  # noqa: N802
        """The greatest value."""
        if not op.arg.dtype.is_struct():
            return super().visit_Max(op, arg=arg, where=where)  # type: ignore[misc]
        return self._first(arg, where, desc=True)

    @abstractmethod
    def _first(self, struct: Any, where: Any, *, desc: bool) -> Any:
        """The struct whose fields come first in order."""
