"""Storage of estimators without pickle: skops (zip of JSON and arrays), with a check of every type in it.

Types of numpy, SciPy, scikit-learn and XGBoost are trusted. Other types are classes of a user's own file:
they can only be loaded by running it, which the service does not do.
"""

from __future__ import annotations

from typing import Any

from core.errors import PatronError
from models.estimators.own.definition import OwnFile

NOT_SERVABLE = "not servable"
"""The beginning of the reason why a version with code of its own is not promoted."""
TRUSTED = ("numpy.", "scipy.", "sklearn.", "xgboost.")


def dumped(estimator: Any, file: OwnFile | None) -> tuple[bytes, bool]:
    """A fitted estimator as bytes, and whether loading it runs the user's own file.

    Raises:
        PatronError: it contains something that cannot be stored without pickle.
    """
    import skops.io

    try:
        content: bytes = skops.io.dumps(estimator)
        foreign = _foreign(content, file)
        _ = loaded(content, file)  # a function without a name is stored, but cannot be loaded
    except Exception as error:  # of many kinds: by what the estimator contains
        raise PatronError(f"the estimator cannot be stored without pickle: {error}") from error
    return content, bool(foreign)


def loaded(content: bytes, file: OwnFile | None) -> Any:
    """A stored estimator.

    Args:
        file: runs if the estimator has classes of it; None to refuse such estimators.

    Raises:
        PatronError: it contains other types than trusted ones and those of the file.
    """
    import skops.io

    if _foreign(content, file) and file is not None:
        file.load()
    try:
        return skops.io.loads(content, trusted=skops.io.get_untrusted_types(data=content))
    except Exception as error:  # of many kinds: libraries differ from those at training
        raise PatronError(
            f"it cannot be loaded ({type(error).__name__}: {error}); if scikit-learn or XGBoost was replaced"
            " since, train it again"
        ) from error


def _foreign(content: bytes, file: OwnFile | None) -> list[str]:
    """The types in a stored estimator that are not trusted: those of the user's file.

    Raises:
        PatronError: there are others.
    """
    import skops.io

    types = skops.io.get_untrusted_types(data=content)
    foreign = [name for name in types if not name.startswith(TRUSTED)]
    unknown = [name for name in foreign if file is None or not name.startswith(f"{file.module}.")]
    if unknown:
        raise PatronError(
            f"it contains {', '.join(unknown)}; only types of scikit-learn, XGBoost and numpy are allowed,"
            " and classes that the file itself defines"
        )
    return foreign
