"""The event tables that a company has in a warehouse, as the lake of a shop.

The home has a query per table (:mod:`events.warehouse.mapping`), in the warehouse's SQL. Patron stores no
events: features, labels and key figures are computed in the warehouse, and their values leave it, besides the
texts of reviews, which are read in batches.
"""

from events.warehouse.backend import ENGINES, SOURCE, backend_of, connect, is_in_warehouse
from events.warehouse.checks import check
from events.warehouse.columns import MappingProblem
from events.warehouse.digests import DIGESTS, digests
from events.warehouse.mapping import generation, queries_of
from events.warehouse.single_customer import rows_of_customer
from events.warehouse.tables import new_customer_ids, read, span

__all__ = [
    "DIGESTS",
    "ENGINES",
    "SOURCE",
    "MappingProblem",
    "backend_of",
    "check",
    "connect",
    "digests",
    "generation",
    "is_in_warehouse",
    "new_customer_ids",
    "queries_of",
    "read",
    "rows_of_customer",
    "span",
]
