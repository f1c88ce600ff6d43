"""External ids ↔ ``customer_key``: the only package that stores external ids.

A customer may have several ids: the company's own, and ``anonymous:ID`` for each browser or device before
sign-in. Two customers who are one person are merged: the ids of the first lead to the second from then on,
and ``merges`` says since when. What is stored under a customer's key stays there, and so do later events of
that customer's ids. So what was known before a merge can be reproduced, and a merge can be undone.
"""

from events.identity.lookup import Identity
from events.identity.merging import (
    Merge,
    join,
    join_previous,
    merged_keys,
    read_merges,
    survivors,
    with_merged,
)
from events.identity.registering import (
    Owner,
    assign,
    keep,
    keys_of,
    owners,
    owners_lookup,
    owners_of,
    reserve,
    stored_table,
    table,
)
from events.identity.splitting import IdentitySplit, split
from events.identity.tables import ANONYMOUS, customers, ids, merges, splits

__all__ = [
    "ANONYMOUS",
    "Identity",
    "IdentitySplit",
    "Merge",
    "Owner",
    "assign",
    "customers",
    "ids",
    "join",
    "join_previous",
    "keep",
    "keys_of",
    "merged_keys",
    "merges",
    "owners",
    "owners_lookup",
    "owners_of",
    "read_merges",
    "reserve",
    "split",
    "splits",
    "stored_table",
    "survivors",
    "table",
    "with_merged",
]
