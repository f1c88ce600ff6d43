"""The reasons of decisions that are about contact limits, budgets and plans, in English and Chinese."""

from __future__ import annotations

LIMIT_WORDS: dict[str, tuple[str, str]] = {
    "limit_day": (
        "{contacts} today{scope}; at most {limit} a day",
        "今日已{scope}联系 {contacts}（每日至多 {limit} 次）",
    ),
    "limit_week": (
        "{contacts} this week{scope}; at most {limit} a week",
        "本周已{scope}联系 {contacts}（每周至多 {limit} 次）",
    ),
    "limit_month": (
        "{contacts} this month{scope}; at most {limit} a month",
        "本月已{scope}联系 {contacts}（每月至多 {limit} 次）",
    ),
    "limit_rolling": (
        "{contacts} within {length}{scope}; at most {limit}",
        "{length}内已{scope}联系 {contacts}（至多 {limit} 次）",
    ),
    "budget_money": (
        "the budget {budget} has {left:,.2f} left {period}, and this is expected to cost {expense:,.2f}",
        "预算“{budget}”{period}剩余 {left:,.2f}，预计花费 {expense:,.2f}",
    ),
    "budget_contacts": (
        "the budget {budget} permits {limit} contacts {period}, and all are used",
        "预算“{budget}”{period}限联系 {limit} 次，已用完",
    ),
    "capacity": (
        "{channel} permits {limit} contacts a day, and all are used",
        "{channel}每日限联系 {limit} 次，已用完",
    ),
    "priced_out": (
        "worth {value:,.2f}, less than the {price:,.2f} that its budgets bring elsewhere",
        "价值 {value:,.2f}，低于所占预算的机会成本 {price:,.2f}",
    ),
    "budget_price": (
        "its budgets would bring {price:,.2f} elsewhere, so it is ranked as {priority:,.2f}",
        "所占预算的机会成本为 {price:,.2f}，排序值 {priority:,.2f}",
    ),
    "planned": ("chosen by the released plan", "按已发布的计划执行"),
    "planned_other": ("the released plan gives {action}", "已发布的计划安排了 {action}"),
    "not_as_planned": ("the planned {action} is not permitted any more", "计划的 {action} 已不可执行"),
    "nothing_above_price": (
        "no permitted action brings more than its budgets bring elsewhere",
        "没有收益高于预算机会成本的可选动作",
    ),
}
