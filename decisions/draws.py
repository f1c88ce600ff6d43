"""Random draws that can be repeated: numbers from keyed hashes."""

from __future__ import annotations

import hashlib


def uniform(salt: bytes, *parts: object) -> float:
    """A uniform number in [0, 1) from a keyed hash: the same parts give the same number."""
    digest = hashlib.blake2b(repr([str(part) for part in parts]).encode(), key=salt, digest_size=8)
    return (int.from_bytes(digest.digest(), "big") >> 11) / 2**53
