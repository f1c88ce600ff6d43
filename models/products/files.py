"""The files of a ranking: Parquet, JSON and LightGBM's text, no pickle.

``customers.parquet`` and ``bought.parquet`` are about customers, by key; the others are about products:
``products.parquet`` has a row per product, ``links.parquet`` a row per pair, ``trees.lgb`` the trees.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import lightgbm as lgb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core.errors import PatronError
from core.storage import parquet
from models.products.assortment import WINDOWS_DAYS, CountedAssortment
from models.products.candidates import COLUMNS
from models.products.histories import Bought, Buyers, Histories, as_table
from models.products.ranker import FittedProducts
from models.products.sparse import at, matrix
from models.registry.bundle import sealed, verified
from models.registry.other_models import OTHER_MODELS

NAME = "products"
"""The ranking's name in the registry."""


def to_files(fitted: FittedProducts, about_version: Mapping[str, Any] | None = None) -> dict[str, bytes]:
    """The files of a ranking, by name; the manifest contains the digests of the others.

    Args:
        about_version: further fields of the manifest.
    """
    links = fitted.goods.links.tocoo()
    tables = {
        "customers.parquet": as_table(fitted.histories.customers),
        "bought.parquet": as_table(fitted.histories.bought),
        "products.parquet": _products(fitted),
        "links.parquet": pa.table(
            {
                "product": links.row.astype(np.int64),
                "other": links.col.astype(np.int64),
                "weight": links.data,
                "together": at(fitted.goods.together, links.row, links.col),
            }
        ),
    }
    files = {name: _bytes(table) for name, table in tables.items()}
    files["trees.lgb"] = fitted.booster.model_to_string().encode()
    manifest = {
        "model": NAME,
        "question": OTHER_MODELS[NAME],
        "meaning": "probability that the customer's next basket has the product",
        "kind": "probability",
        "features": [{"name": "customer_key", "dtype": "int64"}],
        "as_of": fitted.as_of.isoformat(),
        "columns": list(COLUMNS),
    }
    return sealed(manifest | dict(about_version or {}), files)


def open_products(version: str, files: Mapping[str, bytes], manifest_digest: str) -> FittedProducts:
    """Check every digest, then load.

    Raises:
        PatronError: a file is missing, was changed, or has another format than this code reads.
    """
    manifest = verified(version, files, manifest_digest)
    if manifest.get("columns") != list(COLUMNS):
        raise PatronError(f"version {version} of the ranking of products has another format; train it again")
    products = _columns(files["products.parquet"])
    customers, bought = (_columns(files[name]) for name in ("customers.parquet", "bought.parquet"))
    pairs = _columns(files["links.parquet"])
    shape = (len(products["product_id"]), len(products["product_id"]))
    goods = CountedAssortment(
        popularity=np.stack([products[f"popularity_{days}d"] for days in WINDOWS_DAYS]),
        links=matrix(pairs["product"], pairs["other"], pairs["weight"], shape),
        together=matrix(pairs["product"], pairs["other"], pairs["together"], shape),
        **{name: products[name] for name in ("repeat_share", "first_days_ago", "last_days_ago", "baskets")},
    )
    return FittedProducts(
        as_of=datetime.fromisoformat(manifest["as_of"]),
        product_ids=tuple(products["product_id"].tolist()),
        category=products["category"],
        histories=Histories(Buyers(**customers), Bought(**bought), shape[0]),
        goods=goods,
        booster=lgb.Booster(model_str=files["trees.lgb"].decode()),
    )


def _products(fitted: FittedProducts) -> pa.Table:
    goods = fitted.goods
    return pa.table(
        {
            "product_id": list(fitted.product_ids),
            "category": fitted.category,
            **{f"popularity_{days}d": row for days, row in zip(WINDOWS_DAYS, goods.popularity, strict=True)},
            "repeat_share": goods.repeat_share,
            "first_days_ago": goods.first_days_ago,
            "last_days_ago": goods.last_days_ago,
            "baskets": goods.baskets,
        }
    )


def _bytes(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def _columns(content: bytes) -> dict[str, np.ndarray]:
    table = parquet.read_bytes(content)
    return {name: table[name].to_numpy() for name in table.column_names}
