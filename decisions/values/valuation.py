"""The value of every action of a catalogue: margin by its effect, less discounts and costs.

value = margin − discounts − cost per contact − cost per acceptance × P(accepted), in currency within the
value horizon. The priority, by which options are ranked, is the value; a positive one times the action's
lever and the customer's preference for its channel (:mod:`features.offline.habit_profiles`).
``factors_off`` of the catalogue removes factors from both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from decisions.catalogue.actions import Action, Actions
from decisions.values.formulas import Formula, Matrix, Terms, features_read, formula_of
from decisions.values.inputs import ValueInputs


@dataclass(frozen=True)
class ActionValues:
    """The values of actions, with one row per action of the catalogue and one column per customer.

    NaN where a value is unknown. ``expense`` is the money that the action is expected to cost, discounts
    included, whichever factors are off. ``harmful`` says that its effect makes the score worse for the shop.
    ``preference`` is the factor of the channel in the priority.
    ``basis`` is :attr:`~decisions.values.formulas.Change.basis`.
    """

    margin: Matrix
    discounts: Matrix
    acceptance_cost: Matrix
    expense: Matrix
    basis: Matrix
    value: Matrix
    priority: Matrix
    preference: Matrix
    harmful: NDArray[np.bool_]


class Valuer:
    """Computes the values of a catalogue's actions, for one customer or in columns.

    Raises:
        PatronError: an effect is of a kind that has no formula.
    """

    def __init__(self, rules: Actions) -> None:
        self.rules = rules
        self._actions = rules.actions
        rows: dict[Formula, list[int]] = {}
        for row, action in enumerate(self._actions):
            rows.setdefault(formula_of(action.name, action.effect), []).append(row)
        self._groups = [
            (formula, np.array(indexes), self._terms([self._actions[i] for i in indexes]))
            for formula, indexes in rows.items()
        ]
        self._cost = _rows([action.cost for action in self._actions])
        self._cost_per_acceptance = _rows([action.cost_per_acceptance for action in self._actions])
        levers = [1.0 if "lever" in rules.factors_off else action.lever for action in self._actions]
        self._lever = _rows(levers)

    @property
    def features(self) -> tuple[str, ...]:
        """The features that the values read, without duplicates."""
        return features_of(self.rules)

    def values(self, inputs: ValueInputs) -> ActionValues:
        """The values of all actions for these customers."""
        shape = len(self._actions), inputs.size
        margin, discounts, accepted, basis = (np.full(shape, np.nan) for _ in range(4))
        harmful = np.zeros(shape, bool)
        for formula, rows, terms in self._groups:
            change = formula.change(inputs, terms)
            score = inputs.score(formula.model)
            harmful[rows] = (terms.after(score) - score) * formula.improves < 0
            margin[rows], discounts[rows], accepted[rows] = change.margin, change.discounts, change.accepted
            basis[rows] = change.basis
        acceptance_cost = accepted * self._cost_per_acceptance
        costs = self._cost + acceptance_cost
        off = self.rules.factors_off
        value = margin - (0 if "discounts" in off else discounts) - (0 if "costs" in off else costs)
        preference = self._preference(inputs)
        priority = np.where(value > 0, value * self._lever * preference, value)
        return ActionValues(
            margin, discounts, acceptance_cost, costs + discounts, basis, value, priority, preference, harmful
        )

    def _preference(self, inputs: ValueInputs) -> Matrix:
        """The factor of each action's channel in its priority, by action and customer."""
        factors = np.ones((len(self._actions), inputs.size))
        if "channel_preference" not in self.rules.factors_off:
            for row, action in enumerate(self._actions):
                if action.channel in inputs.preferences:
                    factors[row] = inputs.preferences[action.channel]
        return factors

    def _terms(self, actions: Sequence[Action]) -> Terms:
        rules = self.rules
        first = rules.first_order_value
        return Terms(
            rules.value_horizon_days,
            rules.margin,
            0.0 if "brought_forward" in rules.factors_off else rules.brought_forward_share,
            math.nan if first is None else first,
            _rows([action.effect.times for action in actions]),
            _rows([action.effect.plus for action in actions]),
            _rows([action.discount for action in actions]),
        )


def features_of(rules: Actions) -> tuple[str, ...]:
    """The features that the values of a catalogue's actions can read, without duplicates."""
    named = (formula_of(action.name, action.effect).features for action in rules.actions)
    return tuple(dict.fromkeys([*features_read(), *chain.from_iterable(named)]))


def _rows(numbers: Sequence[float]) -> Matrix:
    return np.array(numbers, np.float64)[:, None]
