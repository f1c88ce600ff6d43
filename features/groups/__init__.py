"""The feature groups of this shop: one file each, one line here."""

from __future__ import annotations

from features.group import Feature, FeatureGroup
from features.groups.contacts import contacts
from features.groups.engagement import engagement
from features.groups.feedback import feedback
from features.groups.opinions import opinions
from features.groups.price import price
from features.groups.profile import profile
from features.groups.purchases import purchases
from features.groups.segments import segments
from features.groups.subscription import subscription
from features.groups.taste import taste

GROUPS: tuple[FeatureGroup, ...] = (
    purchases, price, taste, engagement, contacts, subscription, profile, segments, feedback, opinions,
)  # fmt: skip
FEATURES: dict[str, Feature] = {name: feature for group in GROUPS for name, feature in group.features.items()}
