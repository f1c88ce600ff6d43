"""Features, scores, dates and comparisons in Chinese, for the reasons of decisions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from decisions.names.channels import CHANNELS, source_in_chinese
from decisions.names.regions import country_in_chinese
from features.groups.segment_rules import RFM, STAGES, TIERS, Segment

SHARE = "%"
"""The unit of values that are shown as percentages."""
FEATURES: Mapping[str, tuple[str, str]] = {
    "orders_total": ("累计下单", "次"),
    "orders_30d": ("近 30 天下单", "次"),
    "orders_90d": ("近 90 天下单", "次"),
    "orders_365d": ("近一年下单", "次"),
    "recency_days": ("距上次下单", "天"),
    "tenure_days": ("距首次下单", "天"),
    "spend_total": ("累计消费金额", ""),
    "spend_90d": ("近 90 天消费金额", ""),
    "spend_365d": ("近一年消费金额", ""),
    "largest_order": ("最大单笔订单金额", ""),
    "items_total": ("累计购买商品", "件"),
    "distinct_products": ("购买过的商品", "种"),
    "median_gap_days": ("下单间隔中位数", "天"),
    "longest_gap_days": ("最长下单间隔", "天"),
    "gap_spread_days": ("下单间隔标准差", "天"),
    "weekend_share": ("周末下单占比", SHARE),
    "category_entropy": ("品类分散度", ""),
    "refunded_total": ("累计退款金额", ""),
    "refunded_365d": ("近一年退款金额", ""),
    "days_since_refund": ("距上次退款", "天"),
    "refund_share": ("退款占比", SHARE),
    "net_spend_365d": ("近一年净消费金额", ""),
    "average_order_value": ("平均订单金额", ""),
    "overdue_ratio": ("逾期未购倍数", ""),
    "spend_trend": ("消费趋势", ""),
    "discount_share": ("折扣占比", SHARE),
    "discount_share_365d": ("近一年折扣占比", SHARE),
    "full_price_share": ("原价购买占比", SHARE),
    "discounted_order_ratio": ("折扣订单与原价订单金额之比", ""),
    "days_since_discounted_order": ("距上次折扣订单", "天"),
    "average_unit_price": ("平均单价", ""),
    "unit_price_ratio": ("最高与最低单价之比", ""),
    "favourite_category": ("最常购买的品类", ""),
    "favourite_category_share": ("最常购买品类的消费占比", SHARE),
    "distinct_categories": ("购买过的品类", "种"),
    "new_category_share_90d": ("近 90 天新品类消费占比", SHARE),
    "days_since_new_category": ("距上次购买新品类", "天"),
    "repeat_product_share": ("重复购买占比", SHARE),
    "visits_7d": ("近 7 天访问", "次"),
    "visits_30d": ("近 30 天访问", "次"),
    "visits_90d": ("近 90 天访问", "次"),
    "days_since_visit": ("距上次访问", "天"),
    "visit_trend": ("访问趋势", ""),
    "usual_visit_hour": ("常用访问时段", "时"),
    "product_views_30d": ("近 30 天浏览商品", "次"),
    "products_viewed_90d": ("近 90 天浏览商品", "种"),
    "most_viewed_category_90d": ("近 90 天浏览最多的品类", ""),
    "most_viewed_category_share_90d": ("近 90 天浏览最多品类的占比", SHARE),
    "searches_30d": ("近 30 天搜索", "次"),
    "cart_visit_share_90d": ("近 90 天加购访问占比", SHARE),
    "carts_90d": ("近 90 天加购", "次"),
    "abandoned_carts_90d": ("近 90 天弃购", "次"),
    "cart_abandonment_share_90d": ("近 90 天弃购占比", SHARE),
    "days_since_abandoned_cart": ("距上次弃购", "天"),
    "contacts_7d": ("近 7 天收到消息", "条"),
    "contacts_30d": ("近 30 天收到消息", "条"),
    "contacts_90d": ("近 90 天收到消息", "条"),
    "emails_90d": ("近 90 天收到邮件", "封"),
    "opened_30d": ("近 30 天打开消息", "条"),
    "opened_90d": ("近 90 天打开消息", "条"),
    "clicked_90d": ("近 90 天点击消息", "条"),
    "open_rate_90d": ("近 90 天打开率", SHARE),
    "click_rate_90d": ("近 90 天点击率", SHARE),
    "email_open_rate_90d": ("近 90 天邮件打开率", SHARE),
    "days_since_contact": ("距上次联系", "天"),
    "days_since_open": ("距上次打开消息", "天"),
    "days_since_click": ("距上次点击消息", "天"),
    "ignored_in_a_row": ("连续未打开消息", "条"),
    "preferred_channel_365d": ("近一年偏好渠道", ""),
    "preferred_hour_365d": ("近一年偏好时段", "时"),
    "days_since_opt_out": ("距上次退订", "天"),
    "active_subscriptions": ("有效订阅", "个"),
    "renewing_subscriptions": ("将续订的订阅", "个"),
    "subscription_tenure_days": ("订阅持续", "天"),
    "subscription_renewals": ("订阅续订", "次"),
    "subscription_days_left": ("距订阅到期", "天"),
    "subscription_period_months": ("订阅周期", "个月"),
    "subscription_monthly_amount": ("每月订阅金额", ""),
    "subscriptions_ended": ("已结束的订阅", "个"),
    "days_since_subscription_end": ("距上次订阅结束", "天"),
    "days_since_cancellation": ("距上次取消订阅", "天"),
    "country": ("国家", ""),
    "acquisition_channel": ("获客渠道", ""),
    "known_days": ("距建档", "天"),
    "recency_score": ("最近购买评分", "分"),
    "frequency_score": ("购买频次评分", "分"),
    "monetary_score": ("消费金额评分", "分"),
    "value_tier": ("价值等级", ""),
    "lifecycle_stage": ("生命周期阶段", ""),
    "rfm_segment": ("客户分群", ""),
    "taste_cluster": ("口味分群", ""),
    "reviews_365d": ("近一年评价", "条"),
    "days_since_review": ("距上次评价", "天"),
    "mean_rating_365d": ("近一年平均评分", "星"),
    "lowest_rating_365d": ("近一年最低评分", "星"),
    "last_rating": ("最近一次评分", "星"),
    "low_ratings_365d": ("近一年差评", "条"),
    "complaints_365d": ("近一年投诉", "次"),
    "open_complaints": ("未解决投诉", "件"),
    "days_since_complaint": ("距上次投诉", "天"),
    "last_survey_score": ("最近一次问卷得分", "分"),
    "days_since_survey": ("距上次问卷", "天"),
    "texts_365d": ("近一年文字反馈", "条"),
    "mean_content_365d": ("近一年平均满意概率", SHARE),
    "least_content_365d": ("近一年最低满意概率", SHARE),
    "last_text_content": ("最近一次反馈的满意概率", SHARE),
    "last_text_confidence": ("最近一次反馈的判断把握", SHARE),
    "discontent_share_365d": ("近一年不满反馈占比", SHARE),
    "delivery_complaints_365d": ("近一年物流投诉", "条"),
    "quality_complaints_365d": ("近一年质量投诉", "条"),
    "service_complaints_365d": ("近一年服务投诉", "条"),
    "top_topic_365d": ("近一年主要话题", ""),
    "top_complaint_topic_365d": ("近一年主要投诉话题", ""),
    "churn": ("流失概率", SHARE),
    "propensity": ("购买概率", SHARE),
    "category": ("品类购买概率", SHARE),
    "clv": ("客户终身价值", ""),
    "leads": ("首单概率", SHARE),
    "subscription_churn": ("订阅流失概率", SHARE),
}
"""By feature or model, its name in Chinese and the unit of its values."""
FLAGS: Mapping[str, tuple[str, str, str, str]] = {
    "newsletter": ("已订阅邮件", "未订阅邮件", "已订阅", "未订阅"),
    "unsubscribed_email": ("已退订邮件", "未退订邮件", "已退订", "未退订"),
    "marked_as_spam": ("曾标记垃圾邮件", "未标记垃圾邮件", "已标记", "未标记"),
}
"""By truth value, what a customer is of whom it is true, and false; and both again in short."""
DATES: Mapping[str, str] = {
    "birthday": "生日",
    "anniversary": "首单周年",
    "renewal": "续订日",
    "new_year": "元旦",
    "spring_festival": "春节",
    "lantern_festival": "元宵节",
    "valentines_day": "情人节",
    "womens_day": "妇女节",
    "easter": "复活节",
    "mothers_day": "母亲节",
    "dragon_boat_festival": "端午节",
    "fathers_day": "父亲节",
    "mid_year_sale": "年中大促",
    "qixi": "七夕",
    "mid_autumn_festival": "中秋节",
    "double_ninth_festival": "重阳节",
    "national_day_of_china": "国庆节",
    "halloween": "万圣节",
    "singles_day": "双十一",
    "black_friday": "黑色星期五",
    "christmas": "圣诞节",
}
_SEGMENTS: Mapping[str, Mapping[str, Segment]] = {
    "value_tier": TIERS, "lifecycle_stage": STAGES, "rfm_segment": RFM,
}  # fmt: skip
_TOPICS: Mapping[str, str] = {
    "delivery": "物流", "packaging": "包装", "quality": "质量", "material": "材质", "size and fit": "尺码",
    "appearance": "外观", "price": "价格", "service": "服务", "returns": "退换货", "authenticity": "正品",
}  # fmt: skip
_NAMED: Mapping[str, Callable[[str], str]] = {
    "country": country_in_chinese,
    "acquisition_channel": source_in_chinese,
    "preferred_channel_365d": lambda channel: CHANNELS.get(channel, channel),
    "top_topic_365d": lambda topic: _TOPICS.get(topic, topic),
    "top_complaint_topic_365d": lambda topic: _TOPICS.get(topic, topic),
}
"""By feature, how its texts are called; the texts of other features are the shop's own."""
_NEEDS = {"below": "不低于", "above": "不超过", "not_above": "高于", "not_below": "低于"}
_NEEDS_COUNT = {"below": "满", "above": "不超过", "not_above": "超过", "not_below": "少于"}
COMPARISONS = (*_NEEDS, "not_known", "not_equal", "not_one_of", "must_not_be", "is_known")
"""The codes of reasons that :func:`comparison` words."""


def label(name: str) -> str:
    """A feature or a model in Chinese; one that a shop declares in quotation marks."""
    return FEATURES[name][0] if name in FEATURES else f"“{name}”"


def comparison(code: str, values: Mapping[str, Any]) -> str:
    """A reason about a feature: what it is, and in brackets what it must be."""
    name = str(values["feature"])
    if name in FLAGS:
        return _flag(code, FLAGS[name], values)
    unit = FEATURES.get(name, ("", ""))[1]
    subject = f"{label(name)}天数" if unit == "天" else label(name)
    if code == "not_known":
        return f"{subject}未知"
    if code == "is_known":
        return f"{subject}已知（需为未知）"
    value = measure(name, values["value"])
    if code == "above" and values["bound"] == 0 and unit not in ("", SHARE):
        return f"{label(name)}{_spaced(value)}（需为 0 {unit}）"
    if code in _NEEDS:
        needs = (_NEEDS_COUNT if unit not in ("", SHARE) else _NEEDS)[code]
        return f"{label(name)}{_spaced(value)}（需{needs}{_spaced(measure(name, values['bound']))}）"
    joined = f"{label(name)}为{_spaced(value)}"
    if code == "not_equal":
        return f"{joined}（需为{_spaced(measure(name, values['wanted']))}）"
    if code == "not_one_of":
        return f"{joined}（需为{_listed([measure(name, wanted) for wanted in values['wanted']])}之一）"
    return f"{joined}（已排除）"


def measure(name: str, value: Any) -> str:
    """A value of a feature or a model, with its unit."""
    if isinstance(value, bool):
        return "是" if value else "否"
    if isinstance(value, str):
        segment = _SEGMENTS.get(name, {}).get(value)
        return segment.chinese if segment is not None else _NAMED.get(name, str)(value)
    unit = FEATURES.get(name, ("", ""))[1]
    if unit == SHARE:
        return f"{100 * value:.3g}%"
    number = f"{value:,.6g}" if isinstance(value, float) else f"{value:,}"
    return f"{number} {unit}".strip().replace("-", "−")


def _flag(code: str, words: Sequence[str], values: Mapping[str, Any]) -> str:
    if code == "not_known":
        return f"是否{words[0]}未知"
    if code == "is_known":
        return f"是否{words[0]}已知（需为未知）"
    value, wanted = bool(values["value"]), bool(values.get("wanted", not values["value"]))
    return f"{words[not value]}（需{words[2 + (not wanted)]}）"


def _spaced(text: str) -> str:
    """The text, with a space before it if it begins with a digit or a Latin letter."""
    return f" {text}" if text[:1].isascii() else text


def _listed(texts: Sequence[str]) -> str:
    return _spaced("、".join(texts))
