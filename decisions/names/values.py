"""What the value of an action consists of, in English and Chinese, by the code of a reason."""

from __future__ import annotations

from collections.abc import Mapping

VALUE_WORDS: Mapping[str, tuple[str, str]] = {
    "effect": (
        "{model} {before:.2g} → {after:.2g}, an assumed effect",
        "{model} {before:.1%} → {after:.1%}（假定效果）",
    ),
    "category_effect": (
        "probability of an order of {category} {before:.1%} → {after:.1%}, an assumed effect",
        "“{category}”下单概率 {before:.1%} → {after:.1%}（假定效果）",
    ),
    "category_order": (
        "a customer who orders of the category brings {value:,.2f} from it on average,"
        " of which {margin:.0%} is left and {discount:.0%} given away",
        "购买该品类的客户平均消费 {value:,.2f}，毛利率 {margin:.0%}，让利 {discount:.0%}",
    ),
    "order_value": (
        "a customer who orders brings {value:,.2f} on average, of which {margin:.0%} is left"
        " and {discount:.0%} given away",
        "下单客户平均消费 {value:,.2f}，毛利率 {margin:.0%}，让利 {discount:.0%}",
    ),
    "stays": (
        "worth {value:,.2f} in {days} days if they stay, of which {margin:.0%} is left"
        " and {discount:.0%} given away",
        "若不流失，{days} 天内消费 {value:,.2f}，毛利率 {margin:.0%}，让利 {discount:.0%}",
    ),
    "first_order": (
        "a first order is worth {value:,.2f}, of which {margin:.0%} is left and {discount:.0%} given away",
        "首单金额 {value:,.2f}，毛利率 {margin:.0%}，让利 {discount:.0%}",
    ),
    "subscription": (
        "pays {value:,.2f} in {days} days if they stay, of which {margin:.0%} is left"
        " and {discount:.0%} given away",
        "若续订，{days} 天内支付 {value:,.2f}，毛利率 {margin:.0%}，让利 {discount:.0%}",
    ),
    "brings_within": (
        "brings {gain:,.2f} within {days} days and costs {cost:,.2f}",
        "{days} 天内预计增加毛利 {gain:,.2f}，成本 {cost:,.2f}",
    ),
    "brought_forward": (
        "{share:.0%} of the additional orders are assumed to be brought forward and add nothing",
        "假定新增订单中有 {share:.0%} 只是提前下单，不计收益",
    ),
    "lever": (
        "ranked as {priority:,.2f} by its lever of {lever:g}",
        "优先系数 {lever:g}，排序值 {priority:,.2f}",
    ),
    "channel_preference": (
        "responds to {channel} {factor:.2g} times as often as customers do on average",
        "对{channel}的响应率为平均水平的 {factor:.0%}",
    ),
    "best_hour": (
        "planned for the hour from {hour}:00, the best one for this customer",
        "计划在该客户最活跃的 {hour} 点发送",
    ),
    "brings": ("brings {gain:,.2f} and costs {cost:,.2f}", "预计增加毛利 {gain:,.2f}，成本 {cost:,.2f}"),
}
