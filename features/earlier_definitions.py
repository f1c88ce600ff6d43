"""Definitions of earlier releases that today's features replace, for models that were trained on them.

A model refuses a feature whose definition is another than the one that it learnt from. These features mean
the same as before and only read more of what is written: other spellings of yes and no, ``address.country``,
cleared traits, events before the first trait, ``createdAt``, and cancelled orders. Models trained on them go
on.
"""

from __future__ import annotations

from collections.abc import Mapping

EARLIER: Mapping[str, frozenset[str]] = {
    "country": frozenset({"03773fe3a093a0c161d35cd5f7a0f0cac4b74c5118014b75c5981578ae020964"}),
    "acquisition_channel": frozenset({"663af45037e013e1df81c8431d0b3e62c130bbde2d2566bc716dc2552b1c9e89"}),
    "newsletter": frozenset({"e76aa7c943be8d0b5a4733784a86730ff2dca8160aa0c4a54db7071778e4119f"}),
    "known_days": frozenset(
        {
            "bed38c1b1ef49c42b95cd1f9ff69cbe37de1339c2ffe877082c06cc991676a13",
            "1f3d1f13556940bebcec825f83f3a793ef216e7bb5fee269f266dd77268be5fe",
        }
    ),
}
"""By feature the hashes of its earlier definitions."""
