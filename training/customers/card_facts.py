"""The texts of a customer model's card, apart from its measures."""

from __future__ import annotations

from models.spec import CustomerModel
from training.customers.dataset import Dataset
from training.customers.split import Split
from training.evaluation.card import CardFacts
from training.evaluation.evaluate import Evaluation


def card_facts(model: CustomerModel, split: Split, evaluation: Evaluation, data: Dataset) -> CardFacts:
    """The facts of a question about a shop's customers.

    Args:
        split: its moments in the shop's time zone.
        data: the rows that the published version is fitted on.
    """
    limits = [
        f"One later moment was tested, with {evaluation.customers:,} customers; another season may differ.",
        "It says what customers like these did, not what an action would change.",
    ]
    if model.complement_of is not None:
        limits.append(f"Trained as the opposite of {model.complement_of.name}; the two never contradict.")
    return CardFacts(
        meaning=model.meaning.format(days=split.horizon_days),
        customers=[f"nobody who {c.otherwise}" for c in model.eligible],
        data=[
            f"tested on {split.test:%Y-%m-%d}, after training on {len(split.fit)} months,"
            f" {split.fit[0]:%Y-%m-%d} to {split.fit[-1]:%Y-%m-%d}",
            f"published: trained on {len(split.all)} months, to {split.all[-1]:%Y-%m-%d}",
            *([] if data.sample is None else [data.sample.sentence]),
            f"digest of the rows: `{data.digest()}`",
        ],
        test_data="a later time",
        reads={f.name: f.description for f in model.features},
        limits=limits,
    )
