"""What we know about customers: events, features, snapshots and the feature store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from features.external_ids import customer_keys
    from features.offline.snapshots import snapshot

__all__ = ["customer_keys", "snapshot"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Late, since Ibis takes a second to import and the command line's --help needs none of it.
    if name == "snapshot":
        from features.offline.snapshots import snapshot

        return snapshot
    if name == "customer_keys":
        from features.external_ids import customer_keys

        return customer_keys
    raise AttributeError(f"module 'features' has no attribute {name!r}")
