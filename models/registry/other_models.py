"""Models other than those that score customers; they share the registry and its commands."""

from __future__ import annotations

from collections.abc import Mapping

OTHER_MODELS: Mapping[str, str] = {
    "products": "Which products does this customer buy next?",
    "category_propensity": "Of which categories will this customer order something soon?",
    "feedback": "Is the author of this text content?",
}
"""The question of each model, by name. The service does not mention them unless they were trained."""
