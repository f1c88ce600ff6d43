"""The words of each topic of customers' texts, in English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping

Lexicon = Mapping[str, tuple[str, ...]]
"""Words and phrases by topic, in lower case; ``*`` at the end stands for any ending of a word."""

LEXICON: Lexicon = {
    "delivery": (
        "deliver*", "shipping", "shipped", "shipment*", "ship", "courier*", "parcel*", "postage",
        "tracking", "dispatch*", "arrived late", "never arrived", "took forever to arrive", "on time",
        "物流", "快递", "发货", "送货", "配送", "到货", "运费", "顺丰", "圆通", "韵达", "中通", "收到货",
    ),
    "packaging": (
        "packag*", "packing", "wrapped", "wrapping", "carton*", "crushed box",
        "包装", "外包装", "纸箱", "箱子", "盒子", "泡沫", "密封",
    ),
    "quality": (
        "quality", "well made", "poorly made", "cheaply made", "badly made", "workmanship", "durab*",
        "flimsy", "sturd*", "defect*", "broke", "broken", "fell apart", "falling apart", "seam*", "stitch*",
        "pilling", "pilled", "shrunk", "shrank", "hole", "holes", "rip", "ripped", "torn", "snag*",
        "质量", "品质", "做工", "质感", "耐用", "瑕疵", "破损", "坏了", "线头", "掉色", "褪色", "起球",
        "开线", "烂",
    ),
    "material": (
        "material*", "fabric*", "cotton", "wool", "silk", "silky", "linen", "polyester", "texture",
        "see through", "sheer", "itchy", "scratchy",
        "面料", "布料", "材质", "料子", "纯棉", "手感", "厚实", "太薄", "起静电",
    ),
    "size and fit": (
        "size*", "sizing", "fit", "fits", "fitted", "fitting", "too small", "too big", "too large",
        "too tight", "too loose", "too short", "too long", "runs small", "runs large", "petite*",
        "true to size", "baggy",
        "尺码", "尺寸", "大小", "码数", "偏大", "偏小", "合身", "合适", "版型", "太大", "太小", "太紧",
        "太长", "太短",
    ),
    "appearance": (
        "color*", "colour*", "style*", "stylish", "design*", "pattern*", "print", "flattering",
        "looks like", "as pictured", "in the picture", "photo*",
        "颜色", "款式", "样式", "外观", "色差", "图片", "实物", "好看", "漂亮", "难看",
    ),
    "price": (
        "price*", "pricey", "expensive", "cheap", "cheaper", "overpriced", "worth", "value for money",
        "bargain*", "discount*", "on sale", "cost", "costs", "money",
        "价格", "价钱", "便宜", "性价比", "太贵", "降价", "优惠", "划算", "实惠", "值得", "促销", "打折",
    ),
    "service": (
        "customer service", "service", "staff", "customer care", "support", "rude", "polite", "helpful",
        "unhelpful", "response", "no reply",
        "服务", "客服", "态度", "售后", "店家", "卖家", "商家", "前台", "服务员", "回复",
    ),
    "returns": (
        "return*", "refund*", "exchange*", "sent it back", "send it back", "sending it back", "going back",
        "money back",
        "退货", "换货", "退款", "退换", "退回", "退了", "退钱",
    ),
    "authenticity": (
        "fake*", "counterfeit*", "genuine", "authentic*", "knock off", "not original",
        "正品", "假货", "真货", "假的", "冒牌", "盗版", "正版", "山寨", "翻新",
    ),
}  # fmt: skip
