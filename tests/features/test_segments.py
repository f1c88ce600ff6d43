"""Segments: what divides customers, what segments are like, and who is in which."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import NothingThere, PatronError
from core.home import Home, Shop, Tiers
from events import lake
from events.identity import Identity
from features.groups import FEATURES
from features.groups.segments import RFM, STAGES, TIERS
from features.groups.segments import segments as group
from features.offline import boundaries, boundary_values, segment_overview, snapshots
from features.offline.snapshot_set import SnapshotSet

amounts = st.lists(st.integers(-50, 1000).map(float), min_size=1, max_size=60).map(np.array)


@pytest.fixture(scope="module")
def overview(built: SnapshotSet, built_shop: Home) -> dict:
    return segment_overview.read(built_shop)


@pytest.fixture(scope="module")
def everyone(built: SnapshotSet) -> pd.DataFrame:
    return built.everyone(built.current)


@given(amounts)
def test_fifths_never_part_equals_and_hold_at_most_a_fifth_above_each_quantile(values):
    bounds = boundary_values.quintiles(values)
    assert bounds == sorted(bounds)
    for share, bound in zip((0.2, 0.4, 0.6, 0.8), bounds, strict=True):
        assert bound == np.inf or bound in values
        assert (values >= bound).mean() <= 1 - share + 1e-9


@given(amounts, st.floats(0.05, 1))
def test_tier_a_is_the_fewest_customers_who_bring_the_share(values, share):
    a, b, c = boundary_values.tier_bounds(values, Tiers("revenue", share))
    positive = np.sort(values[values > 0])[::-1]
    if not len(positive):
        assert a == b == c == np.inf
        return
    assert a >= b >= c == positive[-1]
    inside = positive[positive >= a]
    assert inside.sum() >= share * positive.sum() - 1e-6
    assert positive[positive > a].sum() < share * positive.sum()


def test_tier_a_can_be_a_share_of_customers():
    a, b, _ = boundary_values.tier_bounds(np.arange(1.0, 11.0), Tiers("customers", 0.2))
    assert (a, b) == (9.0, 6.0)


@pytest.mark.parametrize(("of", "share"), [("profit", 0.5), ("revenue", 0), ("customers", 1.5)])
def test_a_rule_for_tier_a_that_cannot_be_is_refused(of: str, share: float):
    with pytest.raises(PatronError, match="tier A"):
        Tiers(of, share)


def test_centres_find_tastes_that_were_put_there_and_are_named_by_them():
    rng = np.random.default_rng(0)
    made = [np.array(row) for row in ([0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.05, 0.15, 0.8])]
    matrix = np.vstack([rng.dirichlet(40 * centre, 80) for centre in made])
    centres = boundary_values.taste_centres(matrix)
    assert sorted(np.argmax(centres, axis=1)) == [0, 1, 2]
    names = boundary_values.taste_names(centres, matrix.mean(axis=0), ["tea", "cake", "jam"])
    assert sorted(names) == ["cake", "jam", "tea"]
    assert boundary_values.taste_names(np.full((2, 3), 1 / 3), np.full(3, 1 / 3), ["tea", "cake", "jam"]) == [
        "mixed",
        "mixed (2)",
    ]


def test_every_buyer_is_in_one_segment_of_each_kind_and_prospects_only_in_a_stage(everyone: pd.DataFrame):
    buyers = everyone["orders_total"] > 0
    assert set(everyone["lifecycle_stage"]) == set(STAGES)
    assert (everyone.loc[~buyers, "lifecycle_stage"] == "prospect").all()
    for name, known in {"value_tier": TIERS, "rfm_segment": RFM}.items():
        assert everyone.loc[buyers, name].isin(list(known)).all()
        assert everyone.loc[~buyers, name].isna().all()


def test_tiers_divide_by_what_customers_brought(everyone: pd.DataFrame, overview: dict):
    least = everyone.groupby("value_tier")["net_spend_365d"].agg(["min", "max"])
    assert all(least.loc[a, "min"] >= least.loc[b, "max"] for a, b in ("AB", "BC", "CD"))
    tier_a = next(k for k in overview["kinds"] if k["name"] == "value_tier")["segments"][0]
    assert tier_a["name"] == "A"
    assert 0.7 < tier_a["share_of_net_spend_365d"] < 0.9  # bounds are of the month's first


def test_the_overview_counts_what_the_snapshot_holds(everyone: pd.DataFrame, overview: dict):
    assert overview["customers"] == len(everyone)
    for kind in overview["kinds"]:
        counts = everyone[kind["name"]].value_counts()
        result = {s["name"]: s["customers"] for s in kind["segments"]}
        assert result == counts.to_dict()
        assert sum(result.values()) + kind["customers_in_none"] == len(everyone)
        money = sum(s["net_spend_365d"] for s in kind["segments"])
        assert money == pytest.approx(everyone["net_spend_365d"].sum(), abs=0.1 * len(result))
        for segment in kind["segments"]:
            assert segment["filter"] == f"{kind['name']}:{segment['name']}"
            assert segment["english"]
            assert segment["chinese"]


def test_what_sets_a_segment_apart_is_true(everyone: pd.DataFrame, overview: dict):
    stages = next(k for k in overview["kinds"] if k["name"] == "lifecycle_stage")["segments"]
    lapsed = next(s for s in stages if s["name"] == "lapsed")
    first = lapsed["differs_by"][0]
    values = everyone[first["feature"]].astype(float)
    inside = everyone["lifecycle_stage"] == "lapsed"
    assert first["median"] == values[inside].median()
    here, there = values[inside].dropna().to_numpy(), values[~inside].dropna().to_numpy()
    more = (here[:, None] > there).mean() + (here[:, None] == there).mean() / 2
    assert first["chance"] == pytest.approx(more, abs=6e-4)
    assert abs(first["chance"] - 0.5) > 0.3


def test_moves_between_stages_are_those_of_the_snapshots(built: SnapshotSet, overview: dict):
    months = [t for t in built.as_ofs if t < built.current][-13:]
    expected: dict[tuple[str, str], int] = {}
    for before, after in pairwise(months):
        was, then = (
            dict(built.frame(group, t)[["customer_key", "lifecycle_stage"]].itertuples(index=False))
            for t in (before, after)
        )
        for key in was.keys() & then.keys():
            expected[was[key], then[key]] = expected.get((was[key], then[key]), 0) + 1
    result = {(a, b): n for a, row in overview["moves"]["customers"].items() for b, n in row.items() if n}
    assert result == expected
    for row in overview["moves"]["rates"].values():
        assert sum(row.values()) == pytest.approx(1)
    assert overview["moves"]["rates"]["lapsed"].get("new", 0) == 0
    assert overview["moves"]["customers"]["prospect"]["new"] > 0


def test_from_one_day_to_the_next_only_those_move_who_have_a_reason(built_shop: Home):
    """Without an order, nothing but the passing of days can move a customer, and then never upwards."""
    zone = "Europe/Berlin"
    first, second = pd.Timestamp("2024-04-10"), pd.Timestamp("2024-04-11")
    ids = Identity(built_shop).table()["customer_id"].to_pylist()
    population = pd.DataFrame({"customer_id": ids * 2, "as_of": [first] * len(ids) + [second] * len(ids)})
    names = [
        "orders_total",
        "refunded_total",
        "recency_score",
        "value_tier",
        "lifecycle_stage",
        "taste_cluster",
    ]
    result = snapshots.snapshot(population, names, built_shop).set_index("customer_id")
    local = result["as_of"].dt.tz_convert(zone).dt.tz_localize(None)
    was, then = result[local == first], result[local == second].reindex(result[local == first].index)
    quiet = (was["orders_total"] == then["orders_total"]) & (was["refunded_total"] == then["refunded_total"])
    assert quiet.mean() > 0.9
    assert (was["taste_cluster"].fillna("") == then["taste_cluster"].fillna(""))[quiet].all()
    assert (then["recency_score"] <= was["recency_score"])[quiet & was["recency_score"].notna()].all()
    assert (then["value_tier"].fillna("") >= was["value_tier"].fillna(""))[quiet].all()
    later = {"new": 0, "repeat": 0, "loyal": 0, "at_risk": 1, "lapsed": 2, "prospect": 3}
    moved = quiet & (was["lifecycle_stage"] != then["lifecycle_stage"])
    assert (then["lifecycle_stage"].map(later) >= was["lifecycle_stage"].map(later))[quiet].all()
    assert moved.mean() < 0.05


def test_boundaries_hold_for_a_month_and_see_none_of_their_future(built_shop: Home):
    def at(*moments: datetime) -> pd.DataFrame:
        backend = lake.connect()
        return boundaries.load_events(FEATURES.values(), built_shop, backend, moments).boundaries.to_pandas()

    early, late = at(datetime(2023, 5, 2, tzinfo=UTC)), at(datetime(2023, 5, 30, tzinfo=UTC))
    pd.testing.assert_frame_equal(early, late)
    assert early["valid_from"].max() == pd.Timestamp("2023-04-30 22:00")  # midnight in Berlin
    assert set(early["kind"]) == {"recency", "frequency", "money", "tier", "taste"}
    assert not early.equals(at(datetime(2023, 6, 2, tzinfo=UTC)))


def test_before_there_are_boundaries_only_the_stage_is_known(built_shop: Home):
    ids = Identity(built_shop).table()["customer_id"].to_pylist()[:50]
    population = pd.DataFrame({"customer_id": ids, "as_of": "2022-02-10"})
    result = snapshots.snapshot(population, [*group.features], built_shop)
    assert result["lifecycle_stage"].notna().all()
    assert result.drop(columns=["customer_id", "as_of", "lifecycle_stage"]).isna().all(axis=None)


def test_another_rule_for_tier_a_is_followed_by_the_next_build(
    built_shop: Home, copy_home: Callable[[Home], Home], everyone: pd.DataFrame
):
    home = copy_home(built_shop)
    shop = home.shop()
    home.write_shop(Shop(shop.source, shop.time_zone, shop.currency, shop.clock, Tiers("customers", 0.1)))
    assert home.shop().tiers == Tiers("customers", 0.1)
    built = snapshots.build(home, monthly=False)
    result = built.everyone(built.current)
    bringing = (result["net_spend_365d"] > 0).sum()
    assert (result["value_tier"] == "A").sum() == pytest.approx(0.1 * bringing, rel=0.3)
    assert (everyone["value_tier"] == "A").sum() > 2 * (result["value_tier"] == "A").sum()
    assert result["lifecycle_stage"].equals(everyone["lifecycle_stage"])


def test_a_build_for_serving_alone_still_tells_the_change(
    built_shop: Home, copy_home: Callable[[Home], Home]
):
    home = copy_home(built_shop)
    for folder in home.snapshots.iterdir():
        for path in folder.rglob("*.parquet"):
            path.unlink()
    built = snapshots.build(home, monthly=False)
    result = segment_overview.read(home)
    assert len(built.as_ofs) == 2
    assert datetime.fromisoformat(result["compared_with"]) < built.current - timedelta(days=27)
    assert all(s["customers_before"] is not None for k in result["kinds"] for s in k["segments"])
    assert result["moves"] is None


def test_a_shop_that_was_never_built_has_no_segments(shop: Home):
    with pytest.raises(NothingThere, match="patron build"):
        segment_overview.read(shop)


def test_the_overview_is_plain_json(overview: dict):
    assert json.loads(json.dumps(overview, allow_nan=False)) == overview
    assert FEATURES["value_tier"].description.startswith(overview["kinds"][1]["meaning"][:30])


def test_tastes_learnt_again_are_the_same_to_the_last_bit(built_shop: Home):
    def centres() -> list[float]:
        events = lake.read(built_shop, lake.connect())
        result = boundaries._tastes(built_shop, events, datetime(2023, 12, 31, 23, tzinfo=UTC))
        return result["bound"].to_list()

    assert centres() == centres()
