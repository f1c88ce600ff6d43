"""Which estimator a user names: a class of scikit-learn or XGBoost by its path, or a name in a file.

``sklearn.ensemble.RandomForestClassifier(n_estimators=300)`` or ``churners.py:make_model(depth=4)``; settings
are literals. The name in a file is a class or a function that returns an estimator; the file's text is
published with the version.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from core.errors import PatronError

LIBRARIES = ("sklearn", "xgboost")
_IN_FILE = ".py:"


@dataclass(frozen=True)
class OwnFile:
    """A user's Python file.

    Attributes:
        name: without the folder.
    """

    name: str
    text: str

    @property
    def module(self) -> str:
        """The name under which the file is imported: its classes are stored by it."""
        return f"own_{hashlib.sha256(self.text.encode()).hexdigest()[:16]}"

    def __repr__(self) -> str:
        return f"{self.name} ({self.module})"

    def load(self) -> ModuleType:
        """Run the file, once in a process.

        Raises:
            PatronError: the file fails; the message has its error.
        """
        if self.module in sys.modules:
            return sys.modules[self.module]
        module = ModuleType(self.module)
        sys.modules[self.module] = module
        try:
            exec(compile(self.text, self.name, "exec"), vars(module))
        except Exception as error:
            del sys.modules[self.module]
            raise PatronError(f"{self.name} cannot be used: {type(error).__name__}: {error}") from error
        return module


@dataclass(frozen=True)
class Definition:
    """The name of an estimator with its settings.

    Attributes:
        call: the name and the settings, such as ``sklearn.svm.SVR(C=2)`` or ``make_model``.
        file: the file that has the name; None for a path in a library.
    """

    call: str
    file: OwnFile | None = None

    def make(self) -> Any:
        """A new estimator, not fitted.

        Raises:
            PatronError: there is no such name, the library is not installed, or the settings do not fit.
        """
        name, settings = _parsed(self.call)
        maker = _of_library(name) if self.file is None else getattr(self.file.load(), name, None)
        if maker is None:
            raise PatronError(
                f"{'' if self.file is None else self.file.name + ' has no '}{name}; check the name"
            )
        try:
            estimator = maker(**settings)
        except Exception as error:
            raise PatronError(f"{self.call} cannot be made: {type(error).__name__}: {error}") from error
        if not (hasattr(estimator, "fit") and hasattr(estimator, "predict")):
            raise PatronError(f"{self.call} is no estimator: it has no fit and predict")
        return estimator


def read_definition(text: str) -> Definition:
    """The definition that a user wrote; a file's text is read now.

    Raises:
        PatronError: it cannot be understood, or the file cannot be read.
    """
    if _IN_FILE not in text:
        definition = Definition(text.strip())
        name, _ = _parsed(definition.call)
        if name.partition(".")[0] not in LIBRARIES or "." not in name:
            raise PatronError(
                f"{name} is not a path in {' or '.join(LIBRARIES)}, such as sklearn.svm.SVR; an estimator of"
                " your own is named by its file, such as models.py:make_model"
            )
        return definition
    place, _, call = text.partition(_IN_FILE)
    path = Path(place + ".py")
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PatronError(f"{path}: the file cannot be read ({error})") from error
    _parsed(call)
    return Definition(call.strip(), OwnFile(path.name, content))


def _parsed(call: str) -> tuple[str, dict[str, Any]]:
    """The name and the settings of a call."""
    try:
        node = ast.parse(call.strip(), mode="eval").body
        if isinstance(node, ast.Call) and not node.args and all(k.arg for k in node.keywords):
            settings = {str(k.arg): ast.literal_eval(k.value) for k in node.keywords}
            return ast.unparse(node.func), settings
        if isinstance(node, ast.Attribute | ast.Name):
            return ast.unparse(node), {}
    except (SyntaxError, ValueError):
        pass
    raise PatronError(f"{call!r} is not understood; write NAME or NAME(setting=value, ...) with plain values")


def _of_library(path: str) -> Any:
    """The class at a path of a library; None if there is none."""
    module, _, name = path.rpartition(".")
    if module.partition(".")[0] not in LIBRARIES:
        return None
    try:
        return getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        raise PatronError(
            f"{module} cannot be imported ({error}); install the library next to Patron"
        ) from error
