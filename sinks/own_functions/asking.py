"""How the rules of a policy ask functions of one's own: one by one, or those of many keys at once."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from conflict.clock import last_changed
from conflict.functions import Ask, Function
from conflict.policy import Policy
from conflict.resolution import NEVER_OBSERVED, Contribution
from conflict.rules import standing
from sinks.own_functions.fitting import fitted
from sinks.own_functions.runner import Answer, NotAskedError, Runner, runner_for
from sinks.own_functions.wire import encode
from tillstream.errors import UndecidableError

Kinds = Mapping[str, Mapping[str, str]]  # table → column → the warehouse's type


def asking(policy: Policy, kinds: Kinds = MappingProxyType({})) -> Policy:
    """The same policy, whose functions are asked one by one. A table without `kinds` takes values of any."""
    runner = runner_of(policy)
    tables = {
        name: replace(table, ask=_one_by_one(runner, kinds.get(name, {}))) if table.functions() else table
        for name, table in policy.tables.items()
    }
    return replace(policy, tables=MappingProxyType(tables))


def unusable(policy: Policy) -> list[tuple[str, str, str]]:
    """(table, column, why) of functions that cannot be imported."""
    runner = runner_of(policy)
    return [
        (name, column, why)
        for name, table in policy.tables.items()
        for column, function in table.functions()
        if (why := runner.load(function)) is not None
    ]


def runner_of(policy: Policy) -> Runner:
    return runner_for(policy.source.modules if policy.source else {})


def _one_by_one(runner: Runner, kinds: Mapping[str, str]) -> Ask:
    def ask(function: Function, column: str, rows: Sequence[Contribution]) -> Any:
        (answer,) = runner.ask(function, [_question(column, rows)])
        return _value(answer, column, kinds)

    return ask


class NotAsked(UndecidableError):  # noqa: N818 - the key's turn is to come again
    """There was no time for it beside keys that took too long."""


class Unanswered(Exception):  # noqa: N818 - the key's turn comes again
    """It is noted what is to be asked."""


class Batch:
    """An `Ask` that gathers questions until `fetch` asks them all."""

    def __init__(self, runner: Runner, kinds: Mapping[str, str]) -> None:
        self._runner, self._kinds = runner, kinds
        self._wanted: dict[Function, dict[str, list[dict[str, Any]]]] = defaultdict(dict)
        self._answers: dict[tuple[Function, str], Answer] = {}

    def __call__(self, function: Function, column: str, rows: Sequence[Contribution]) -> Any:
        question = _question(column, sorted(rows, key=lambda each: (each.store, each.pk)))
        known_by = json.dumps(question)
        if (function, known_by) not in self._answers:
            self._wanted[function][known_by] = question
            raise Unanswered
        return _value(self._answers[function, known_by], column, self._kinds)

    def fetch(self) -> None:
        for function, questions in self._wanted.items():
            answers = self._runner.ask(function, list(questions.values()))
            self._answers |= {(function, one): answer for one, answer in zip(questions, answers, strict=True)}
        self._wanted.clear()


def _question(column: str, rows: Sequence[Contribution]) -> list[dict[str, Any]]:
    last = {id(each) for each in standing(rows)}
    return [
        {
            "store": each.store,
            "value": encode(each.values[column]),
            "changed_us": None if (at := last_changed(column, each).effective_us) == NEVER_OBSERVED else at,
            "values": {name: encode(each.values[name]) for name in sorted(each.columns & each.values.keys())},
            "stands": id(each) in last,
        }
        for each in rows
    ]


def _value(answer: Answer, column: str, kinds: Mapping[str, str]) -> Any:
    if isinstance(answer.error, NotAskedError):
        raise NotAsked(column, str(answer.error))
    if answer.error is not None:
        raise UndecidableError(column, str(answer.error))
    if column not in kinds:
        return answer.value
    try:
        return fitted(answer.value, kinds[column])
    except ValueError as error:
        raise UndecidableError(column, str(error)) from None
