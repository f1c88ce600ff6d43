"""A preview of the decisions for everybody, into a file; nothing is reserved or logged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from core.home import Home
from core.progress import Progress, silent
from decisions.results.funnel import FunnelCounter
from decisions.results.newest_funnel import store
from records.decisions import DecisionLog
from serving.decisions.decider import Decider
from serving.decisions.rendering import PAGE, Speaker
from serving.decisions.selection import read_rule, select_keys
from serving.decisions.to_file import RecommendRequest, write_records
from serving.scores.scorer import open_scorer


def preview_everyone(home: Home, request: RecommendRequest, progress: Progress = silent) -> dict[str, Any]:
    """The file of :func:`serving.decisions.to_file.recommend_everyone`, without a run.

    Raises:
        PatronError: as there.
    """
    layout = request.layout()
    progress("opening models", 0.0)
    home.shop()
    counted: Counter[str] = Counter()
    funnel = FunnelCounter()
    with DecisionLog(home) as log:
        decider = Decider(open_scorer(home, None), log)
        rules = decider.rules()
        question = decider.question(rules, request.channels, "cli")
        keys = select_keys(decider.scorer, request.segment, read_rule(home, rules, request.rule))
        speaker = Speaker(rules.canonical, request.language)

        spent = log.spent(question)

        def records() -> Iterator[dict[str, Any]]:
            for start in range(0, len(keys), PAGE):
                progress("deciding", start / len(keys))
                ids = decider.scorer.identity.ids(keys[start : start + PAGE].tolist())
                batch = dict(sorted(ids.items()))
                for decision in decider.preview(batch, question, rules, spent):
                    counted[decision.choice.action] += 1
                    funnel.add(decision.choice.action, decision.choice.reasons)
                    if decision.choice.channel is not None or not request.only_actions:
                        yield speaker.row(decision, batch[decision.customer_key], None)

        paths = write_records(records(), request.out, request.language, layout, home.shop().time_zone)
    if request.segment is None and request.rule is None and question.channels is None:
        store(home, funnel, rules, as_of=question.at.isoformat(), run_id=None)
    progress("deciding", 1.0)
    actions = dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))
    return {
        "run_id": None, "customers": len(keys), "out": str(request.out),
        "files": [str(path) for path in paths], "actions": actions,
    }  # fmt: skip
