"""The policies that the benchmark compares: the mean profit per customer of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from benchmarks.policy.shops import ACTIONS, Customer
from decisions.catalogue.actions import NOTHING
from records.decision import Decision

Shares = Mapping[str, float]
Policy = Callable[[Sequence[Decision], Mapping[int, Customer]], float]


def _profit(choose: Callable[[Decision, Customer], Shares]) -> Policy:
    """The mean profit per customer of a policy that gives each customer's options their probabilities."""

    def profit(decisions: Sequence[Decision], known: Mapping[int, Customer]) -> float:
        total = 0.0
        for decision in decisions:
            customer = known[decision.customer_key]
            total += sum(p * customer.worth(name) for name, p in choose(decision, customer).items())
        return total / len(decisions)

    return profit


def _ours(decision: Decision, _customer: Customer) -> Shares:
    """The best option in the policy's ranking, before any random draw."""
    values = {option["action"]: option["value"] for option in decision.choice.reasons["runners_up"]}
    values[decision.choice.action] = decision.choice.expected_value
    return {max(values, key=lambda name: values[name]): 1.0}


def _random(decision: Decision, _customer: Customer) -> Shares:
    permitted = decision.choice.probabilities
    return dict.fromkeys(permitted, 1 / len(permitted))


def _cheapest(decision: Decision, _customer: Customer) -> Shares:
    permitted = [name for name in decision.choice.probabilities if name != NOTHING]
    return {min(permitted, key=lambda name: (ACTIONS[name].cost, name)): 1.0} if permitted else {}


def _knowing(decision: Decision, customer: Customer) -> Shares:
    return {max(decision.choice.probabilities, key=customer.worth): 1.0}


def _propensity_alone(decisions: Sequence[Decision], known: Mapping[int, Customer]) -> float:
    contacts = sum(NOTHING not in _ours(d, known[d.customer_key]) for d in decisions)
    offers = []
    for decision in decisions:
        score = decision.choice.scores["propensity"]["score"]
        raised = {
            name: ACTIONS[name].effect.after(score)
            for name in decision.choice.probabilities
            if name != NOTHING and ACTIONS[name].effect.on == "propensity"
        }
        if raised:
            strongest = max(raised, key=lambda name: raised[name])
            offers.append((score, known[decision.customer_key].worth(strongest)))
    offers.sort(reverse=True)
    return sum(worth for _, worth in offers[:contacts]) / len(decisions)


def _one_campaign(decisions: Sequence[Decision], known: Mapping[int, Customer]) -> float:
    totals = dict.fromkeys(ACTIONS, 0.0)
    for decision in decisions:
        for name in decision.choice.probabilities:
            if name != NOTHING:
                totals[name] += known[decision.customer_key].worth(name)
    return max(totals.values()) / len(decisions)


POLICIES: Mapping[str, Policy] = {
    "ours": _profit(_ours),
    "with control and exploration": _profit(lambda decision, _: decision.choice.probabilities),
    "random": _profit(_random),
    "cheapest": _profit(_cheapest),
    "propensity alone": _propensity_alone,
    "one campaign": _one_campaign,
    "nothing": lambda *_: 0.0,
    "limit": _profit(_knowing),
}
