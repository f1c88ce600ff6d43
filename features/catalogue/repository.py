"""``feature_store.yaml`` of a home, with which Feast's own SDK, command line and pages open its store."""

from __future__ import annotations

import re

from core import files
from core.home import Home

FILE = "feature_store.yaml"
_TEXT = """\
# Feast's configuration of this home, written by `patron build`, which also registers the views: `feast apply`
# and `feast teardown` are refused. Run Feast in Patron's environment: feast -c FOLDER feature-views list
project: {project}
provider: local
registry:
  path: registry.db
offline_store:
  type: duckdb
online_store:
  type: features.catalogue.plugin.PackedOnlineStore
  address: {address}
  home: ..
  managed: true
entity_key_serialization_version: 3
"""


def write(home: Home, project: str, address: str) -> None:
    """Write the file, in one step; paths in it are relative, so that a home can be moved.

    Args:
        address: of the online rows. The address of a server may contain a password, so Feast reads it from
            the same variable as Patron.
    """
    server = re.match(r"\w+://", address)
    place = "${PATRON_ONLINE_STORE}" if server else home.online_file.name
    files.replace(home.feast / FILE, _TEXT.format(project=project, address=place))
