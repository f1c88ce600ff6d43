"""What columns are called, in English, German, French, Spanish, Italian, Portuguese and Chinese."""

from __future__ import annotations

import re

SURE, LIKELY, AGAINST = 3.0, 2.0, -4.0
_NAMES: dict[str, tuple[tuple[float, str], ...]] = {
    "customer": (
        (SURE, r"(customer|client|user|member|buyer|shopper|account|kunden?"
               r"|cliente?)s?[ _.-]?(unique[ _.-]?)?"
               r"(id|no|nr|nummer|number|num|key|code|uid|ref)\b|^(kunde|customer|client|user)$"
               r"|n[°º] ?client"
               r"|(客户|顾客|会员|用户|买家)(编号|id|号|代码|编码)"),
        (LIKELY, r"customer|client|user|member|buyer|shopper|account|kunde|käufer|客户|顾客|会员|用户|买家"),
        (1.0, r"e-?mail|courriel|correo|邮箱"),
        (AGAINST, r"city|town|state|country|zip|postal|post.?code|address|street|phone|segment|type"
                  r"|group|status"
                  r"|gender|\bage\b|birth|since|name|note|agent|channel|\bort\b|stadt|land|plz|stra(ss"
                  r"|ß)e|ville|ciudad"
                  r"|城市|地址|电话|手机|姓名|名称|等级|level|tier|lifetime|accepts|order|feature|score|价值"),
    ),
    "time": (
        (SURE, r"order.?(date|time|day|purchase)|purchase.?(date|time|timestamp)|(invoice|transaction"
               r"|sale).?"
               r"(date|time)|bestell(datum|zeit|t am)|kauf(datum|zeit)|belegdatum|rechnungsdatum"
               r"|date.?(de.?)?"
               r"(la.?)?(commande|achat)|fecha.?(de.?)?(pedido|compra)|下单|购买(时间|日期)|订单(时间|日期)"
               r"|成交(时间|日期)|^created.?at$|^(date|time|datum|timestamp|fecha|data|day|日期|时间)$"),
        (LIKELY, r"date|time|day|_at$|\bat$|timestamp|datum|zeit|fecha|data\b|日期|时间|created|日$"),
        (AGAINST, r"ship|deliver|dispatch|due|updat|modif|birth|geburt|expir|liefer|versand|approved"
                  r"|estimat"
                  r"|day.?of.?week|weekday|wochentag|limit|livraison|env[ií]o|entrega|发货|送达|更新|生日|出生"
                  r"|refund|return|cancel|close|fulfil|last|first|sign.?up|regist|join|since|review|answer"),
    ),
    "received_at": ((SURE, r"received|ingested|loaded.?at|eingang|入库"),),
    "order": (
        (SURE, r"(order|invoice|transaction|receipt|basket|ticket|sale)s?[ _.-]?(id|no|nr|number|num"
               r"|code|ref|key|#)"
               r"\b|^(order|invoice|receipt|beleg|bestellung|pedido|commande)$"
               r"|(beleg|bestell|rechnungs?|auftrags?|bon)[ _.-]?(nr|nummer|no|id)"
               r"|n[°º] ?(de )?(commande|pedido)"
               r"|(订单|单据|交易)(编号|号|id)|单号"),
        (LIKELY, r"order|invoice|transaction|receipt|basket|ticket|beleg|bestell|rechnung|auftrag|commande"
                 r"|factur|pedido|订单|单号"),
        (AGAINST, r"date|time|day|amount|total|status|type|item|line|position|count|value|qty|quantity"
                  r"|customer"
                  r"|datum|zeit|时间|日期|金额|_at\b|purchase|status|priority|channel|source|city|state"),
    ),
    "product": (
        (SURE, r"(product|item|article|artikel|produkt|produit)s?[ _.-]?(id|no|nr|nummer|number|code"
               r"|sku)|^(sku|asin"
               r"|stock.?code|item|product|produkt|artikel|produit|producto|lineitem.?(sku|name))$|(商品"
               r"|产品)(编号|id|编码)"),
        (LIKELY, r"product|sku|item|stock|article|asin|artikel|produkt|produit|artículo|商品|产品"),
        (AGAINST, r"categor|group|type|price|preis|quantity|qty|count|total|amount|discount|warengruppe"
                  r"|类别|品类"
                  r"|weight|length|photos|order.?item|description|status|tax|requires|fulfil|compare"
                  r"|kategorie"),
    ),
    "quantity": (
        (SURE, r"quantity|qty|number.?of|^(units|count|pieces|menge|anzahl|stück|quantité|cantidad"
               r"|quantità)$"
               r"|数量|件数"),
        (LIKELY, r"units|pieces|menge|anzahl|stück|count|weight"),
        (AGAINST, r"price|amount|total|discount|customer|order.?count|account|country|discount|returned"
                  r"|stock"),
    ),
    "unit_price": (
        (SURE, r"unit.?price|price.?(per|each)|item.?price|^price$|einzelpreis|stückpreis|^preis$|^prix"
               r"|^precio"
               r"|单价|价格|lineitem.?price"),
        (LIKELY, r"price|preis|prix|precio"),
        (AGAINST, r"total|sum|old|compare|discount|list|gesamt|cons\."),
    ),
    "discount": (
        (SURE, r"discount.?(amount|total)?$|rebate|rabatt|remise|descuento|折扣|优惠"),
        (LIKELY, r"discount|coupon"),
        (AGAINST, r"code|name|type|before|after"),
    ),
    "amount": (
        (SURE, r"(line|item|row).?(total|amount)|^(amount|total|revenue|sales|paid|betrag|summe|umsatz"
               r"|montant"
               r"|importe|total.?price|net.?amount)$|实付|(订单|支付|成交)?金额|总价|gesamt(preis|betrag)?"
               r"|dollar.?value|order.?(total|value|amount)|zeilenbetrag|positionswert"),
        (LIKELY, r"amount|total|revenue|sales|paid|value|spend|betrag|summe|umsatz|gesamt|montant"
                 r"|importe|subtotal"),
        (AGAINST, r"tax|ship|freight|discount|tip|fee|cost|balance|limit|score|count|quantity|qty|mwst"
                  r"|versand|refund"
                  r"|rate|lifetime|outstanding|paid.?at|date|profit|margin|duties|运费|税|rep\b|method"),
    ),
    "currency": ((SURE, r"currency|währung|waehrung|devise|moneda|币种|valuta"),),
    "category": (
        (SURE, r"category|department|kategorie|warengruppe|catégorie|categor[ií]a|类别|品类|类目"),
        (LIKELY, r"group|gruppe|family|vendor"),
        (AGAINST, r"customer|age|user"),
    ),
    "kind": (
        (SURE, r"^(order.?|line.?|financial.?)?status$|^(type|kind|event|vorgang|belegart|estado|statut)$"
               r"|状态|类型"),
        (LIKELY, r"kind|status|vorgang|cancel|refunded"),
        (AGAINST, r"customer|payment.?type|product|item|fulfil|date|_at\b|amount"),
    ),
}  # fmt: skip
_PATTERNS = {
    role: tuple((score, re.compile(pattern, re.IGNORECASE)) for score, pattern in hints)
    for role, hints in _NAMES.items()
}
TRAITS = {
    "country": r"country|^land$|pays|pa[ií]s|国家",
    "city": r"city|town|^ort$|stadt|ville|ciudad|城市",
    "channel": r"channel|source|medium|渠道|来源",
    "gender": r"gender|\bsex\b|geschlecht|性别",
    "newsletter": r"newsletter|opt.?in|subscribed|accepts.?marketing|订阅",
}
PERSONAL = re.compile(
    r"name|mail|phone|tel\b|mobile|address|street|stra(ss|ß)e|birth|iban|card|passw|token|ssn|客户|会员|姓名|电话"
    r"|手机|地址|邮箱|note|comment|remark|vermerk|kunde|customer|client|user|member|buyer|account|zip|postal|plz",
    re.IGNORECASE,
)
"""Names of columns whose values may name people; they are never shown."""
PARTS_OF_TOTAL = {
    "order_tax": r"^(order.?)?(total.?)?(tax|taxes|vat|mwst)(.?amount)?$|税",
    "order_shipping": r"^(order.?)?(total.?)?(shipping|freight|versand|porto)(.?(amount|cost))?$|运费",
}
"""Settings of what an order's total contains and is no revenue, by the names of columns."""
ORDER_TOTAL = re.compile(
    r"^(order.?)?total$|order.?(total|value|amount)|gesamt|订单金额|grand.?total", re.IGNORECASE
)


def name_score(role: str, name: str) -> float:
    """How well a column's name fits a role; 0 for a name that says nothing, below it for another meaning."""
    separated = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).strip()
    total = 0.0
    for score, pattern in _PATTERNS[role]:
        if pattern.search(separated) or pattern.search(name):
            total += score if score < 0 else max(0.0, score - max(total, 0.0))
    return total
