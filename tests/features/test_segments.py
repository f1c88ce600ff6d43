"""Segments: what divides customers, what segments are like, and who is in which."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import ibis
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import NothingThere, PatronError
from core.home import Home
from core.shop import Shop, Tiers
from decisions.rules.conditions import TargetCondition
from decisions.rules.evaluation import RuleInput, evaluate
from events import lake
from events.identity import Identity
from events.schema import BOUNDARIES, Events
from features.groups import FEATURES
from features.groups.segment_rules import FORMER_NAMES, LAPSED_AFTER_DAYS, RFM, STAGES, TIERS, current_name
from features.groups.segments import segments as group
from features.offline import boundaries, boundary_values, current, segment_overview, snapshots
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


SHOPS = 40
PER_SHOP = 400
ON_TIME = ("new", "repeat", "loyal")
AWAY = ("cannot_lose", "slipping", "hibernating", "inactive")
LATELY = ("champions", "promising", "recent")
# Pairs of segments that no customer may be in at once.
CONTRADICTIONS = [
    *(("lapsed", name) for name in RFM if name not in AWAY),
    *(("at_risk", name) for name in LATELY),
    *((stage, name) for stage in ON_TIME for name in AWAY),
    *(("new", name) for name in ("champions", "core")),
    *(("loyal", name) for name in ("about_to_sleep", "recent")),
    *(("A", name) for name in ("about_to_sleep", "recent", "hibernating", "inactive")),
    *(("D", name) for name in ("champions", "core")),
]


@pytest.fixture(scope="module")
def generated() -> pd.DataFrame:
    """Customers of shops of all kinds, from daily to yearly orders, with the facts that segments read.

    A shop is a moment. The boundaries of most are those of their own customers; some have none, or those of
    another shop.
    """
    rng = np.random.default_rng(5)
    facts, bounds = [], []
    for i in range(SHOPS):
        as_of = pd.Timestamp("2024-01-01") + pd.Timedelta(days=i)
        shop = _customers(rng).assign(as_of=as_of)
        facts.append(shop)
        if i:
            bounds += _bounds(_customers(rng) if i % 5 == 0 else shop, as_of)
    table, backend = pd.concat(facts), ibis.duckdb.connect()
    table["customer_key"] = np.arange(len(table))
    table["as_of"] = table["as_of"].astype("datetime64[us]")
    learnt = pd.DataFrame(bounds, columns=[*BOUNDARIES])
    prepared = {
        "facts": backend.create_table("facts", table),
        "boundaries": backend.create_table("boundaries", learnt, schema=ibis.schema(BOUNDARIES)),
    }
    population = prepared["facts"].select("customer_key", "as_of")
    names = [
        "recency_score",
        "frequency_score",
        "monetary_score",
        "value_tier",
        "lifecycle_stage",
        "rfm_segment",
    ]
    wanted = [FEATURES[name] for name in names]
    values = backend.to_pandas(group.compute(Events.unbound(), population, wanted, prepared))
    return table.merge(values, on=["customer_key", "as_of"], validate="1:1")


def _customers(rng: np.random.Generator) -> pd.DataFrame:
    """The facts of one shop's customers."""
    orders = rng.geometric(rng.uniform(0.1, 0.9), PER_SHOP) - 1
    recency = (rng.exponential(rng.choice([3, 30, 120, 600]), PER_SHOP)).astype(int)
    lately = np.where(recency <= 365, np.maximum(1, rng.binomial(np.maximum(orders, 1), 0.7)), 0)
    spend = np.where(orders, orders * rng.lognormal(3, rng.uniform(0, 1.5), PER_SHOP), 0.0).round(2)
    refunded = np.where(rng.random(PER_SHOP) < 0.15, spend, 0.0)
    return pd.DataFrame(
        {
            "orders_total": orders,
            "recency_days": pd.Series(recency).where(orders > 0).astype("Int64"),
            "median_gap_days": np.where(orders > 1, rng.exponential(40, PER_SHOP).round(1), np.nan),
            "orders_365d": np.where(orders, lately, 0),
            "spend_total": spend,
            "refunded_total": refunded,
            "net_spend_365d": ((spend - refunded) * lately / np.maximum(orders, 1)).round(2),
        }
    )


def _bounds(customers: pd.DataFrame, valid_from: pd.Timestamp) -> list[tuple[object, ...]]:
    """What a build learns from these customers."""
    buyers = customers[customers["orders_total"] > 0]
    measures = {
        "recency": buyers["recency_days"],
        "frequency": buyers["orders_total"],
        "money": buyers["spend_total"] - buyers["refunded_total"],
    }
    rows = {kind: boundary_values.quintiles(of.to_numpy(np.float64)) for kind, of in measures.items()}
    rows["tier"] = boundary_values.tier_bounds(buyers["net_spend_365d"].to_numpy(np.float64), Tiers())
    return [(valid_from, kind, None, None, bound) for kind, values in rows.items() for bound in values]


def test_no_customer_is_in_two_segments_that_contradict_each_other(
    generated: pd.DataFrame, everyone: pd.DataFrame
):
    for customers in (generated, everyone):
        pairs = {
            pair
            for other in ("lifecycle_stage", "value_tier")
            for pair in zip(customers[other], customers["rfm_segment"], strict=True)
        }
        assert pairs.isdisjoint(CONTRADICTIONS)
    for name, known in {"lifecycle_stage": STAGES, "value_tier": TIERS, "rfm_segment": RFM}.items():
        assert set(generated[name].dropna()) == set(known)  # every segment occurs


def test_every_buyer_has_a_tier_also_before_there_are_boundaries(generated: pd.DataFrame):
    buyers = generated["orders_total"] > 0
    assert generated.loc[buyers, "value_tier"].notna().all()
    assert generated.loc[~buyers, "value_tier"].isna().all()
    brings = generated["net_spend_365d"] > 0
    assert ((generated["value_tier"] == "D") == ~brings)[buyers].all()
    early = buyers & (generated["as_of"] == generated["as_of"].min())
    assert generated.loc[early, ["recency_score", "rfm_segment"]].isna().all(axis=None)
    assert generated.loc[buyers & ~early, "rfm_segment"].notna().all()


def test_fifths_have_limits_in_days_orders_and_money(generated: pd.DataFrame):
    buyers = generated[generated["recency_score"].notna()]
    days, orders, recency = (buyers[n] for n in ("recency_days", "orders_total", "recency_score"))
    assert recency[days > LAPSED_AFTER_DAYS].max() == 2
    assert recency[days > 90].max() == 3
    assert recency[days <= 30].min() == 3
    most = buyers.groupby(orders.clip(upper=4))["frequency_score"].max()
    assert most.to_dict() == {1: 1, 2: 3, 3: 4, 4: 5}
    nothing = buyers["spend_total"] <= buyers["refunded_total"]
    assert set(buyers.loc[nothing, "monetary_score"]) == {1}
    for name in ("recency_score", "frequency_score", "monetary_score"):
        assert set(buyers[name]) == {1, 2, 3, 4, 5}


def test_no_name_of_a_kind_of_segment_resembles_one_of_another_kind():
    kinds = [*({**kind} for kind in (RFM, STAGES, TIERS))]
    for i, kind in enumerate(kinds):
        others = [segment for other in kinds[i + 1 :] for segment in other.items()]
        for name, segment in kind.items():
            for other, words in others:
                assert name != other
                assert segment.english.lower() != words.english.lower()
                # Chinese names differ by more than "customers" at their end, and none contains another;
                # "potentially loyal" says itself that it is not "loyal".
                a, b = (text.removesuffix("客户") for text in (segment.chinese, words.chinese))
                a = a.replace("潜在忠诚", "潜在")
                assert a not in b
                assert b not in a


def test_former_names_still_mean_their_segment(built_shop: Home, everyone: pd.DataFrame):
    assert set(FORMER_NAMES["rfm_segment"].values()) <= set(RFM)
    assert current_name("lifecycle_stage", "at_risk") == "at_risk"
    for former, name in FORMER_NAMES["rfm_segment"].items():
        if (everyone["rfm_segment"] == name).any():
            now, before = ([f"rfm_segment:{value}"] for value in (name, former))
            assert current.members(built_shop, now).tolist() == current.members(built_shop, before).tolist()
        for wanted in ({"equals": former}, {"one_of": (former, "champions")}):
            condition = TargetCondition(feature="rfm_segment", **wanted)
            inside = [
                evaluate(condition.rule, RuleInput({"rfm_segment": value}, {}, 0, 0))
                for value in (name, former, "hibernating")
            ]
            assert inside == [True, True, False]


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


def test_a_feature_that_is_constant_where_another_is_known_is_compared_without_a_warning():
    values = pd.DataFrame(
        {
            "orders_total": [1.0, 1, 1, 9, 9, 9, 9, 9],
            "median_gap_days": [np.nan, np.nan, np.nan, 1.0, 5, 6, 7, 8],
        }
    )
    inside = np.array([False] * 4 + [True] * 4)
    result = segment_overview.differences(values, values.rank(pct=True), inside)
    assert [difference["feature"] for difference in result] == ["median_gap_days", "orders_total"]


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


def test_a_shop_of_a_few_weeks_has_segments_of_all_kinds_but_tastes(built_shop: Home):
    ids = Identity(built_shop).table()["customer_id"].to_pylist()[:200]
    for day in ("2022-01-04", "2022-02-10"):  # the first events are of 2022-01-01
        population = pd.DataFrame({"customer_id": ids, "as_of": day})
        result = snapshots.snapshot(population, ["orders_total", *group.features], built_shop)
        buyers = result["orders_total"] > 0
        assert buyers.any()
        assert result["lifecycle_stage"].notna().all()
        assert result["taste_cluster"].isna().all()
        divided = result.drop(
            columns=["customer_id", "as_of", "orders_total", "lifecycle_stage", "taste_cluster"]
        )
        assert divided[buyers].notna().all(axis=None)
        assert divided[~buyers].isna().all(axis=None)


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


def test_the_grid_has_every_buyer_in_a_cell_of_their_segment(overview: dict, everyone: pd.DataFrame):
    counts = everyone["rfm_segment"].value_counts()
    cells = pd.DataFrame(overview["rfm_grid"])
    assert cells.groupby("segment")["customers"].sum().to_dict() == counts.to_dict()
    assert cells["net_spend_365d"].sum() == pytest.approx(everyone["net_spend_365d"].sum())
    assert segment_overview.rfm_grid(everyone[everyone["orders_total"] == 0]) == []
