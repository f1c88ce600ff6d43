"""Channels, sources of customers, and groups of actions in Chinese."""

from __future__ import annotations

from collections.abc import Mapping

CHANNELS: Mapping[str, str] = {
    "email": "邮件", "sms": "短信", "push": "推送通知", "phone": "电话", "call": "电话", "web": "网站",
    "app": "应用内消息", "in_app": "应用内消息", "post": "信函", "mail": "信函", "letter": "信函",
    "direct_mail": "信函", "wechat": "微信", "wecom": "企业微信", "whatsapp": "WhatsApp", "line": "LINE",
    "store": "门店", "ads": "广告", "douyin": "抖音", "xiaohongshu": "小红书", "alipay": "支付宝",
}  # fmt: skip
"""The usual names of channels; two of them are the names of programs."""
_SOURCES: Mapping[str, str] = {
    "search": "搜索", "organic": "自然流量", "paid_search": "付费搜索", "direct": "直接访问",
    "social": "社交媒体", "referral": "推荐", "friends": "朋友推荐", "affiliate": "联盟推广",
    "ads": "广告", "display": "展示广告", "newsletter": "邮件订阅", "marketplace": "电商平台",
    "other": "其他", "unknown": "未知",
}  # fmt: skip
_GROUPS: Mapping[str, str] = {
    "retain": "挽留", "grow": "增购", "win_back": "召回", "reward": "回馈", "serve": "服务", "care": "关怀",
    "welcome": "迎新",
}  # fmt: skip


def channel_in_chinese(channel: str) -> str:
    """A channel's usual name; its own name in quotation marks if it has none."""
    return CHANNELS.get(channel) or f"“{channel}”"


def source_in_chinese(source: str) -> str:
    """Where a customer came from; the value itself if it has no usual name."""
    key = source.casefold()
    return _SOURCES.get(key) or CHANNELS.get(key) or source


def group_in_chinese(group: str) -> str:
    """A group of actions; its own name if it has no usual one."""
    return _GROUPS.get(group, group)
