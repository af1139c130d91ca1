"""policies.yaml: what it may say. A Policy is made of it only if everything in it was understood."""

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationInfo, model_validator

from conflict.case_file import CaseEntry, Moment, Name, StoreId
from conflict.code_map import maps_of
from conflict.condition import condition_of
from conflict.functions import SECONDS_A_KEY, Modules, function_of
from conflict.key_file import KeyMapping, key_parts
from conflict.policy import (
    CONTEST_WITHIN_SECONDS,
    GUARDED_ROWS,
    GUARDED_SECONDS,
    LATEST,
    REST,
    TO_AGREE,
    AuditedBalance,
    CodeMap,
    ColumnRule,
    Deletes,
    Guards,
    Policy,
    PolicySource,
    RuleName,
    TablePolicy,
    policy_of,
)
from conflict.policy_faults import faults_between_parts
from conflict.ranking import Ranks, Stores, attribute, ranks_by
from tillstream.checked_yaml import Document, Duration, Entry, WrittenNumber, json_schema, validate

NO_MODULES: Modules = MappingProxyType({})


def _rule_mapping(given: Any) -> Any:
    return {"rule": given} if isinstance(given, str) else given


def _exact_text(given: Any) -> Any:
    """A number as it is written."""
    if isinstance(given, bool):
        return str(given).lower()
    if given is None or isinstance(given, str):
        return given
    if isinstance(given, WrittenNumber):
        return given.text
    if isinstance(given, int):
        return str(given)
    raise ValueError("must be text, a number, true or false; put anything else in quotes")


ExactText = BeforeValidator(_exact_text, json_schema_input_type=str | float | bool | None)


def _known_condition(text: str, info: ValidationInfo) -> str:
    condition_of(text, (info.context or {}).get("stores"))
    return text


def _known_function(written: str) -> str:
    function_of(written, SECONDS_A_KEY, {})
    return written


def _either(schema: dict[str, Any]) -> None:
    """For editors: `python: ...` says the rule, too."""
    schema["required"] = []
    schema["anyOf"] = [{"required": ["rule"]}, {"required": ["python"]}]


class RuleEntry(Entry):
    model_config = ConfigDict(json_schema_extra=_either)

    rule: RuleName = Field(title="rule", description="How the column's central value is decided.")
    python: Annotated[Name, AfterValidator(_known_function)] | None = Field(
        default=None,
        description="A function of your own that decides, as module:function; the module stands beside this file or is "
        "installed. Tested, not proven.",
    )
    seconds: float = Field(
        default=SECONDS_A_KEY, gt=0, le=60, description="For python: how long the function may take for one key."
    )
    stores: tuple[StoreId, ...] = Field(
        default=(),
        description="Store ids, best first; for priority and first_non_null. For latest and earliest: who comes first "
        "where clocks cannot tell.",
    )
    by: Name | None = Field(
        default=None,
        description="In place of `stores`: an attribute of the stores in tillstream.yaml, the least number first, or "
        "distance_to_<store id>, the nearest first. For owner: the attribute that the column holds.",
    )
    order: tuple[Annotated[str, ExactText], ...] = Field(
        default=(), description="Values, the lowest first; for highest and lowest. With `by`: its words, best first."
    )
    column: Name | None = Field(default=None, description="For owner: the column whose value names the store.")
    separator: Name = Field(default=",", description="For union: what stands between the parts of a value.")
    value: Annotated[str | None, ExactText] = Field(default=None, description="For constant: the central value.")
    opening: Moment | None = Field(
        default=None,
        description="For sum_of_changes: when all stores had copies of one balance; a date or a time, UTC unless it "
        "names its zone.",
    )
    copied_by_pos: bool | None = Field(
        default=None,
        strict=True,
        description="For sum_of_changes: false, that is, each store has changed only its own copy since the opening.",
    )
    when: Annotated[Name, AfterValidator(_known_condition)] | None = Field(
        default=None,
        description="Which rows the rule looks at: those of which this is true, such as "
        "\"store.tier == 'flagship' and level in ['gold', 'silver']\". Of no row: `then` decides, among all.",
    )
    then: Annotated[
        "RuleEntry | None",
        BeforeValidator(_rule_mapping, json_schema_input_type="RuleName | RuleEntry | None"),
    ] = Field(default=None, description="What decides where the rule finds nothing to choose by.")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, given: Any) -> Any:
        if isinstance(given, dict) and "python" in given and "rule" not in given:
            return {"rule": RuleName.PYTHON.value, **given}
        return given

    @model_validator(mode="after")
    def _means_something(self, info: ValidationInfo) -> "RuleEntry":
        for setting in sorted(self.model_fields_set - {"rule"}):
            if setting not in self._takes():
                raise ValueError(_no_use(self.rule, setting))
        for setting in _NEEDS.get(self.rule, ()):
            if setting not in self.model_fields_set:
                raise ValueError(f"{self.rule} needs `{setting}`: {_EXAMPLES[self.rule]}")
        if self.rule is RuleName.SUM_OF_CHANGES and self.copied_by_pos is not False:
            raise ValueError(_COPIED if self.copied_by_pos else _MAY_BE_COPIED)
        if self.rule is RuleName.PRIORITY and not (self.stores or self.by):
            raise ValueError(f"priority needs `stores`, best first, or `by`: {_EXAMPLES[self.rule]}")
        if self.stores and self.by:
            raise ValueError("`stores` and `by` both say which store comes first; take one out")
        if self.order and self.rule not in (RuleName.HIGHEST, RuleName.LOWEST) and not self.by:
            raise ValueError("`order` is of the words that `by` names, and there is no `by`")
        for setting, what, listed in (("stores", "a store", self.stores), ("order", "a value", self.order)):
            if len(set(listed)) < len(listed):
                raise ValueError(f"`{setting}` names {what} twice")
        if self.then is not None and self.then.rule in (RuleName.PER_STORE, *TO_AGREE):
            raise ValueError(f"`then: {self.then.rule}` makes no value of its own; write the rule that does")
        if len(openings := {self.opening, *_openings(self.then)} - {None}) > 1:
            raise ValueError(f"a column has one opening, and here are {len(openings)}; write the same one")
        _ranked(self, (info.context or {}).get("stores"))
        return self

    def _takes(self) -> tuple[str, ...]:
        taken = _TAKES.get(self.rule, ())
        if self.rule is RuleName.PER_STORE:
            return taken
        return (*taken, "when", "then") if self.when is not None else (*taken, "when")

    def value_for(self, stores: Stores | None, modules: Modules) -> ColumnRule:
        ranks, owners = _ranked(self, stores)
        return ColumnRule(
            rule=self.rule,
            by=self.by or "",
            ranks=ranks,
            order=self.order if self.rule in (RuleName.HIGHEST, RuleName.LOWEST) else (),
            separator=self.separator,
            value=self.value,
            column=self.column or "",
            owners=owners,
            opening_us=self.opening,
            function=None if self.python is None else function_of(self.python, self.seconds, modules),
            when=None if self.when is None else condition_of(self.when, stores),
            then=self.then.value_for(stores, modules) if self.then else None,
        )


def _openings(entry: RuleEntry | None) -> set[int | None]:
    return set() if entry is None else {entry.opening, *_openings(entry.then)}


RULES_IN_WORDS: dict[str, str] = {
    RuleName.LATEST: "What was changed last, column by column.",
    RuleName.EARLIEST: "That of the store that has had a value for longest; who corrects one keeps its place.",
    RuleName.PRIORITY: "That of the first store by `stores` or an attribute that has the row; else `then` decides.",
    RuleName.OWNER: "That of the store that another column names; else `then` decides.",
    RuleName.FIRST_NON_NULL: "The first that is not NULL, by `stores` or an attribute, then by store id.",
    RuleName.MAJORITY: "What most stores have, one vote a store, NULL being none; a tie is decided by `then`.",
    RuleName.MAX: "The greatest.",
    RuleName.MIN: "The least.",
    RuleName.HIGHEST: "The last of those in `order`; where no value is among them `then` decides.",
    RuleName.LOWEST: "The first of those in `order`; where no value is among them `then` decides.",
    RuleName.SUM: "The sum of every store's present value, exact.",
    RuleName.SUM_OF_CHANGES: "What most stores had at `opening`, and what each changed since, exact.",
    RuleName.UNION: "All parts that any store has, each once, sorted.",
    RuleName.CONSTANT: "What `value` says.",
    RuleName.PER_STORE: "None: each store keeps its own, side by side in central.<table>_by_store.",
    RuleName.EQUAL_OR_FLAG: "The same in all stores; where they differ, what `then` says, marked in _contested.",
    RuleName.REVIEW: "The same in all stores; where they differ, what a person decided, until then what `then` says.",
    RuleName.PYTHON: "What a function of your own makes of all rows: tested, not proven.",
}
_DELETES_IN_WORDS: dict[str, str] = {
    Deletes.LATEST: "Gone where the last delete is later than all changes.",
    Deletes.ANY: "Gone where one delete is later than all inserts.",
    Deletes.ALL: "Gone once every store has deleted it.",
    Deletes.NEVER: "It stays, with the last values.",
}
_TAKES: dict[RuleName, tuple[str, ...]] = {
    RuleName.LATEST: ("stores", "by", "order"),
    RuleName.EARLIEST: ("stores", "by", "order"),
    RuleName.PRIORITY: ("stores", "by", "order", "then"),
    RuleName.FIRST_NON_NULL: ("stores", "by", "order"),
    RuleName.OWNER: ("column", "by", "then"),
    RuleName.MAJORITY: ("then",),
    RuleName.EQUAL_OR_FLAG: ("then",),
    RuleName.REVIEW: ("then",),
    RuleName.HIGHEST: ("order", "then"),
    RuleName.LOWEST: ("order", "then"),
    RuleName.UNION: ("separator",),
    RuleName.CONSTANT: ("value",),
    RuleName.SUM_OF_CHANGES: ("opening", "copied_by_pos"),
    RuleName.PYTHON: ("python", "seconds"),
}
_NEEDS: dict[RuleName, tuple[str, ...]] = {
    RuleName.OWNER: ("column",),
    RuleName.HIGHEST: ("order",),
    RuleName.LOWEST: ("order",),
    RuleName.CONSTANT: ("value",),
    RuleName.SUM_OF_CHANGES: ("opening",),
    RuleName.PYTHON: ("python",),
}
_EXAMPLES = {
    RuleName.PRIORITY: "{rule: priority, stores: [hq]}",
    RuleName.OWNER: "{rule: owner, column: home_store}",
    RuleName.HIGHEST: "{rule: highest, order: [basic, silver, gold]}",
    RuleName.LOWEST: "{rule: lowest, order: [basic, silver, gold]}",
    RuleName.CONSTANT: "{rule: constant, value: CNY}",
    RuleName.SUM_OF_CHANGES: "{rule: sum_of_changes, opening: 2026-01-01, copied_by_pos: false}",
    RuleName.PYTHON: '{python: "membership:level"}',
}
_COPIED = (
    "a balance that the POS copies is the same one in every store, and each change would count once per store; "
    "write {rule: latest}"
)
_MAY_BE_COPIED = (
    "sum_of_changes needs `copied_by_pos: false`: where the POS itself copies balances from store to store, each "
    "change would count once per store; there write {rule: latest}"
)


def _no_use(rule: RuleName, setting: str) -> str:
    if setting == "when":
        return f"{rule} decides nothing, so there is nothing to look at `when`"
    *others, last = (name.value for name, settings in _TAKES.items() if setting in settings)
    users = f"{', '.join(others)} and {last} do" if others else f"{last} does"
    return f"{rule} does not look at `{setting}`; only {users}"


def _ranked(entry: RuleEntry, stores: Stores | None) -> tuple[Ranks, tuple[tuple[str, str], ...]]:
    """Which stores come first, and which store the words of an owner mean; nothing of what only tillstream.yaml says
    where that is not at hand."""
    if entry.by is None or stores is None:
        return tuple((store,) for store in entry.stores), ()
    if entry.rule is not RuleName.OWNER:
        return ranks_by(entry.by, entry.order, stores), ()
    owners = sorted((str(said), store) for store, said in attribute(entry.by, stores).items())
    for (said, one), (again, other) in pairwise(owners):
        if said == again:
            raise ValueError(f"stores {one} and {other} both have the {entry.by} {said}; an owner must be one store")
    return (), tuple(owners)


class ContestEntry(Entry):
    within: Duration = Field(
        default=CONTEST_WITHIN_SECONDS,
        description="Different values of two stores this close in time are contested; such as 10m.",
        json_schema_extra={"default": "10m"},
    )
    ignore: tuple[Name, ...] = Field(default=(), description="Columns whose differences are no contest.")


def _share(given: Any) -> float:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*%", given) if isinstance(given, str) else None
    if match is None or not 0 < float(match[1]) <= 100:
        raise ValueError("must be a share of the store's rows, such as 20%")
    return float(match[1]) / 100


Share = Annotated[
    float, BeforeValidator(_share, json_schema_input_type=Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?\s*%$")])
]


class BalanceEntry(Entry):
    table: Name = Field(description="The table with a row for each change.")
    row: Name = Field(description="Its column that names the row, by its primary key in the store.")
    change: Name = Field(description="Its column with what was added to the balance.")


class GuardsEntry(Entry):
    deletes: Share | None = Field(
        default=None, description="A store that deletes more than this of its rows is held until `stores release`."
    )
    rewrites: Share | None = Field(default=None, description="The same for rows that it gives other values.")
    within: Duration = Field(
        default=GUARDED_SECONDS, description="In how long a time.", json_schema_extra={"default": "10m"}
    )
    at_least: Annotated[int, Field(strict=True, ge=1)] = Field(
        default=GUARDED_ROWS, description="Fewer rows are never too many."
    )
    dark: Duration | None = Field(
        default=None, description="A store that brings changes older than this is held until somebody has seen them."
    )

    rows_per_key: Annotated[int, Field(strict=True, ge=1)] | None = Field(
        default=None, description="More rows of one store under one key are told by `tillstream anomalies`."
    )
    same: tuple[Name, ...] = Field(
        default=(), description="Columns in which stores with one key are not to differ: one code with two names."
    )
    flip_flops: Annotated[int, Field(strict=True, ge=2)] | None = Field(
        default=None, description="A value that goes to and fro between two stores so many times `within` the time."
    )
    ledger: dict[Name, BalanceEntry] = Field(
        default_factory=dict, description="Balances that are to be the sum of their changes: {points: {table: ...}}."
    )

    @model_validator(mode="after")
    def _guards_something(self) -> "GuardsEntry":
        if not self.model_fields_set - {"within", "at_least"}:
            raise ValueError("guards nothing; name `deletes`, `rewrites`, `dark` or another, such as {deletes: 20%}")
        return self

    def value(self) -> Guards:
        return Guards(
            deletes=self.deletes,
            rewrites=self.rewrites,
            within_seconds=self.within,
            at_least=self.at_least,
            dark_seconds=self.dark,
            rows_per_key=self.rows_per_key,
            same=self.same,
            flip_flops=self.flip_flops,
            balances=tuple(
                AuditedBalance(column=column, table=each.table, row=each.row, change=each.change)
                for column, each in self.ledger.items()
            ),
        )


class TableEntry(Entry):
    scope: Literal["shared", "isolated"] = Field(
        default="isolated", description="shared: one central row per business key; isolated: none."
    )
    key: KeyMapping | None = Field(
        default=None, description="Business key: {column: normaliser}, or [column] to take it as it is."
    )
    map: dict[Name, Name] = Field(
        default_factory=dict,
        description="{column of the key: CSV file}, with the columns store (may be left out), code and chain_code: "
        "which of the chain's codes a store's code is.",
    )
    changed_at: Name | None = Field(
        default=None,
        description="The POS's own column with the time of change, for snapshots.",
    )
    columns: dict[Name, RuleEntry] = Field(
        default_factory=dict, description='Rule per column; "*" is for the rest, latest if left out.'
    )
    deletes: Deletes = Field(default=Deletes.LATEST, description="What a store's delete means for the chain.")
    contest: ContestEntry = Field(default_factory=ContestEntry, description="When stores count as in conflict.")
    guards: GuardsEntry | None = Field(
        default=None, description="What a store may do to the table before somebody has looked at it."
    )
    references: dict[Name, Name] = Field(
        default_factory=dict,
        description="Of an isolated table: {column: the shared table whose rows' ids it holds}, such as "
        "{member_id: members}. chain.<table> shows the central key beside it.",
    )

    def value_for(
        self, table: str, stores: Stores | None, modules: Modules, maps: Mapping[tuple[str, str], CodeMap]
    ) -> TablePolicy:
        rules = {column: entry.value_for(stores, modules) for column, entry in self.columns.items()}
        return TablePolicy(
            table=table,
            key=tuple(
                replace(part.value(column), codes=maps.get((table, column)))
                for column, part in (self.key or {}).items()
            ),
            changed_at=self.changed_at,
            default=rules.pop(REST, LATEST),
            columns=MappingProxyType(rules),
            deletes=self.deletes,
            contest_within_seconds=self.contest.within,
            contest_ignore=frozenset(self.contest.ignore),
            guards=self.guards.value() if self.guards else None,
        )


class PolicyFile(Entry):
    """policies.yaml as it is written."""

    version: Annotated[int, Field(strict=True, ge=1)] = Field(description="Raise it with every change.")
    tables: dict[Name, TableEntry] = Field(description="Tables by name; one not named is isolated.")
    tests: list[CaseEntry] = Field(default=[], description="What the policy is to make of some rows: `policy test`.")


def parse_policy(document: Document, stores: Stores | None, modules: Modules = NO_MODULES) -> Policy:
    """The checked policy; ConfigError with every fault. `modules` are those beside the file that its functions are in.

    Without `stores` nothing is said of their ids and attributes, and such a policy decides nothing by them.
    """
    maps, faults_of_maps = maps_of(document, key_parts(document.data), stores)
    further = [*faults_between_parts(document, TableEntry.model_fields), *faults_of_maps]
    entry = validate(document, PolicyFile, further=further, context={"stores": stores})
    shared = {
        name: table.value_for(name, stores, modules, maps)
        for name, table in entry.tables.items()
        if table.scope == "shared"
    }
    references = {name: MappingProxyType(table.references) for name, table in entry.tables.items() if table.references}
    policy = policy_of(entry.version, shared, MappingProxyType(references))
    cases = tuple(case.value(document.line_of(("tests", number))) for number, case in enumerate(entry.tests))
    files = {name: each.text for name, each in document.beside.items() if each.text is not None}
    source = PolicySource(text=document.text, stores=stores, files=files, modules=modules)
    return replace(policy, source=source, cases=cases)


def policy_schema() -> dict[str, Any]:
    schema = json_schema(PolicyFile, title="policies.yaml")
    for name, words in (("RuleName", RULES_IN_WORDS), ("Deletes", _DELETES_IN_WORDS)):
        definition = schema["definitions"][name]
        definition["enumDescriptions"] = [words[value] for value in definition["enum"]]  # editors show them
    return schema
