"""The portrait and the timeline of a customer as a role sees them that sees customers masked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from console.personal.masks import HIDDEN, mask_feature, mask_id, mask_text, mask_trait, name_of
from decisions.reasons import Language
from features.group import Feature
from models.explain.words import phrase
from serving.customers.portrait import ranks_of
from serving.customers.portrait_text import describe
from serving.customers.schemas import Portrait
from serving.customers.timeline_schemas import TimelineEvent
from serving.scores.schemas import ExplainedScore, Reason


def mask_portrait(portrait: Portrait, key: int, language: Language, known: Mapping[str, Feature]) -> Portrait:
    """A portrait whose text, facts and reasons name nobody; without contacts.

    Args:
        key: of the customer, by which the text names them.
        known: the shop's features by name.
    """
    facts = {
        group: {
            name: fact.model_copy(update={"value": mask_feature(known.get(name), fact.value)})
            for name, fact in own.items()
        }
        for group, own in (portrait.facts or {}).items()
    }
    values = {name: fact.value for own in facts.values() for name, fact in own.items()}
    text = describe(str(key), values, portrait, portrait.currency, language, ranks_of(portrait.scores))
    return portrait.model_copy(
        update={
            "customer_id": name_of(key, portrait.customer_id),
            "portrait": text,
            "facts": facts or None,
            "scores": {name: _mask_score(score, known) for name, score in portrait.scores.items()},
            "contacts": [],
        }
    )


def mask_event(event: TimelineEvent) -> TimelineEvent:
    """An event without the texts that may name a person, such as subjects, addresses and properties."""
    return event.model_copy(update=_changed(event))


def _changed(event: TimelineEvent) -> dict[str, Any]:
    match event.kind:
        case "order" | "refund":
            return {"order_id": event.order_id and mask_id(event.order_id)}
        case "trait":
            return {"value": mask_trait(event.name, event.value)}
        case "activity":
            return {"name": mask_text(event.name), "reference": None, "properties": {}}
        case "contact":
            return {"decision_id": HIDDEN}


def _mask_score(score: ExplainedScore, known: Mapping[str, Feature]) -> ExplainedScore:
    """A score with the reasons, and the lines of the sum, as far as they may be shown."""
    reasons = [_mask_reason(reason, known) for reason in score.reasons]
    summary = list(score.summary)
    summary[1 : 1 + len(reasons)] = [reason.words for reason in reasons]  # after the line of the base
    return score.model_copy(update={"reasons": reasons, "summary": summary})


def _mask_reason(reason: Reason, known: Mapping[str, Feature]) -> Reason:
    feature = known.get(reason.feature)
    shown = mask_feature(feature, reason.value)
    if shown == reason.value:
        return reason
    meaning = reason.feature if feature is None else feature.meaning
    effect = reason.words.rpartition(": ")[2]
    return reason.model_copy(update={"value": shown, "words": f"{phrase(meaning, '', shown, '')}: {effect}"})
