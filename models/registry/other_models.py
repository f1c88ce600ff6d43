"""The models beside the customers' scores: they answer otherwise, and share the registry and its verbs."""

from __future__ import annotations

from collections.abc import Mapping

OTHER_MODELS: Mapping[str, str] = {
    "products": "Which products does this customer buy next?",
    "category_propensity": "Of which categories will this customer order something soon?",
    "feedback": "Is the author of this text content?",
}
"""By name what each asks. Where one was never trained, nobody is told that it is absent."""
