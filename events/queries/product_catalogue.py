"""The imported catalogue of products: names, addresses, pictures, prices and stock."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core import files
from core.errors import PatronError
from core.home import Home
from events.files.products import catalogue_file

DETAILS = ("name", "url", "image_url", "price", "stock")
"""The columns that describe a product."""


@dataclass(frozen=True)
class ProductCatalogue:
    """The products of a catalogue.

    Attributes:
        products: a row per product, see :data:`events.files.products.SCHEMA`.
        out_of_stock: the ids of products of which none is left.
    """

    products: pa.Table
    out_of_stock: frozenset[str]

    def describe(self, product_ids: pa.ChunkedArray | pa.Array) -> dict[str, pa.Array]:
        """The columns of ``DETAILS`` for these products; null for those that are not in the catalogue."""
        places = pc.index_in(product_ids, self.products["product_id"])
        if isinstance(places, pa.ChunkedArray):
            places = places.combine_chunks()
        return {name: self.products[name].combine_chunks().take(places) for name in DETAILS}


def open_catalogue(home: Home) -> ProductCatalogue | None:
    """The catalogue of a home; None if none was imported. A file is read once.

    Raises:
        PatronError: it cannot be read.
    """
    path = catalogue_file(home)
    stamp = files.stamp(path)
    return None if stamp is None else _read(path, stamp)


@lru_cache(maxsize=2)
def _read(path: Path, _stamp: files.Stamp) -> ProductCatalogue:
    try:
        table = pq.read_table(path).combine_chunks()
        gone = table.filter(pc.fill_null(pc.invert(table["in_stock"]), False))
    except (OSError, pa.ArrowException, KeyError) as error:
        raise PatronError(
            f"the catalogue {path} cannot be read; run `patron import FILE --products` again"
        ) from error
    return ProductCatalogue(table, frozenset(gone["product_id"].to_pylist()))
