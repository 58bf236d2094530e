"""The structural checks of a feed as a Great Expectations suite over pandas batches.

Failures are read by position (COMPLETE result format). A check that raised did not run: it says nothing about any row,
so every row that it should have looked at goes into quarantine with that reason.
"""

import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from os import environ
from typing import TYPE_CHECKING, Any, get_args

from guards.admission import AdmissionPolicy, finding
from guards.base import Verdict
from guards.candidates import RowOperation
from pipelines.admission.feed import Feed
from registry.records import Sensitivity

if TYPE_CHECKING:
    import pandas as pd

GUARD = "structure"
MAX_URL_CHARS = 2000
_DAY = r"^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}.*)?$"
_SHARE = r"^(?:0(?:\.\d+)?|1(?:\.0+)?|\.\d+|\d(?:\.\d+)?[eE]-\d+)$"
_RELATION_OR_PROMPT = "relation_or_prompt"


@dataclass(frozen=True)
class Check:
    """One expectation with its words.

    Attributes:
        column: column of the batch; empty cells are looked at only by the check that forbids them.
        expectation: name of the expectation's class.
        problem: what is wrong with a row that fails.
        remedy: what would make it pass.
        arguments: of the expectation.
    """

    column: str
    expectation: str
    problem: str
    remedy: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Structure:
    """What the suite found.

    Attributes:
        findings: verdicts against rows, by 1-based number.
        ran: how many checks ran.
        failed_to_run: checks that did not run, with the reason.
    """

    findings: Mapping[int, tuple[Verdict, ...]]
    ran: int
    failed_to_run: tuple[str, ...] = ()


def checks(policy: AdmissionPolicy) -> tuple[Check, ...]:
    """The suite, as data."""

    def filled(column: str) -> Check:
        return Check(column, "ExpectColumnValuesToNotBeNull", "is empty", "fill it in")

    def short(column: str, most: int) -> Check:
        limit = {"min_value": 0, "max_value": most}
        problem, remedy = f"is longer than {most} characters", f"keep to {most}"
        return Check(column, "ExpectColumnValueLengthsToBeBetween", problem, remedy, limit)

    def matching(column: str, regex: str, problem: str, remedy: str) -> Check:
        return Check(column, "ExpectColumnValuesToMatchRegex", problem, remedy, {"regex": regex})

    def one_of(column: str, values: Sequence[str]) -> Check:
        known = ", ".join(values)
        return Check(column, "ExpectColumnValuesToBeInSet", "is not known", f"use {known}", {"value_set": list(values)})

    return (
        *(filled(column) for column in ("subject", "object", _RELATION_OR_PROMPT)),
        *(short(column, policy.max_chars) for column in ("subject", "relation", "object", "source")),
        short("source_url", MAX_URL_CHARS),
        *(
            matching(column, _DAY, "is not an ISO 8601 day", "write it as YYYY-MM-DD")
            for column in ("valid_from", "valid_to", "observed_at")
        ),
        matching("confidence", _SHARE, "is not a number from 0 to 1", "write it like 0.9"),
        one_of("sensitivity", get_args(Sensitivity)),
        one_of("op", get_args(RowOperation)),
    )


def check_structure(feed: Feed, policy: AdmissionPolicy, suite: Sequence[Check] | None = None) -> Structure:
    """Run the suite over a feed.

    Args:
        feed: rows; those of broken shape are left out, since their cells are not known.
        policy: thresholds.
        suite: checks; those of `checks(policy)` unless given.
    """
    suite = checks(policy) if suite is None else suite
    frame = _frame(feed)
    verdicts: dict[int, list[Verdict]] = defaultdict(list)
    problems = []
    try:
        results = _run(frame, suite)
    except Exception as error:
        failure = f"{type(error).__name__}: {error}"
        results = [(check, None, failure) for check in suite]
    for check, rows, failure in results:
        if rows is None:
            problems.append(f"{check.expectation} on {check.column}: {failure}")
        for row in frame.index if rows is None else rows:
            verdicts[row].append(_verdict(frame, row, check, failure))
    ran = len(suite) - len(problems)
    return Structure({row: tuple(found) for row, found in verdicts.items()}, ran, tuple(problems))


def told_column(check: Check) -> str:
    """The column under which a person is told of a check's findings."""
    return "relation" if check.column == _RELATION_OR_PROMPT else check.column


def _verdict(frame: "pd.DataFrame", row: int, check: Check, failure: str) -> Verdict:
    """What a check says against a row: that it fails, or that the check did not run."""
    column = told_column(check)
    value = str(frame.at[row, column] or "") if column in frame.columns else ""
    if failure:
        return finding(GUARD, "escalate", column, value, f"the check did not run ({failure})", "run it again")
    return finding(GUARD, "block", column, value, check.problem, check.remedy)


def _frame(feed: Feed) -> "pd.DataFrame":
    """The sound rows as text without surrounding white space, None where empty; the index is the row's number."""
    import pandas as pd

    columns = {}
    for name in feed.table.column_names:
        texts = [text.strip() for text in feed.table.column(name).to_pylist()]
        columns[name] = [(text.upper() if name == "op" else text) or None for text in texts]
    columns[_RELATION_OR_PROMPT] = [
        one or other for one, other in zip(columns["relation"], columns["prompt"], strict=True)
    ]
    frame = pd.DataFrame(columns, index=range(1, len(feed.raw) + 1), dtype="object")
    return frame.drop(index=list(feed.broken))


def import_quietly() -> None:
    """Import Great Expectations ahead of its use."""
    with _quiet():
        import great_expectations.expectations  # noqa: F401


@contextmanager
def _quiet() -> Iterator[None]:
    """Great Expectations without analytics, warnings of its own dependencies, and progress bars."""
    before = environ.get("GX_ANALYTICS_ENABLED")
    environ["GX_ANALYTICS_ENABLED"] = "false"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if before is None:
            del environ["GX_ANALYTICS_ENABLED"]
        else:
            environ["GX_ANALYTICS_ENABLED"] = before


def _run(frame: "pd.DataFrame", suite: Sequence[Check]) -> list[tuple[Check, list[int] | None, str]]:
    """Each check with the rows that fail it; None instead of rows, with the reason, when it did not run."""
    if frame.empty or not suite:
        return [(check, [], "") for check in suite]
    with _quiet():
        import great_expectations as gx
        from great_expectations import expectations
        from great_expectations.data_context.types.base import ProgressBarsConfig

        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
        asset = context.data_sources.add_pandas("feed").add_dataframe_asset("rows")
        batch = asset.add_batch_definition_whole_dataframe("all")
        kept = context.suites.add(gx.ExpectationSuite(name="feed"))
        for place, check in enumerate(suite):
            kind = getattr(expectations, check.expectation)
            kept.add_expectation(kind(column=check.column, meta={"place": place}, **check.arguments))
        validation = context.validation_definitions.add(gx.ValidationDefinition(name="feed", data=batch, suite=kept))
        found = validation.run(batch_parameters={"dataframe": frame}, result_format={"result_format": "COMPLETE"})
    configured = ((result.expectation_config, result) for result in found.results)
    by_place = {config.meta["place"]: result for config, result in configured if config and config.meta}
    return [(check, *_read(by_place.get(place))) for place, check in enumerate(suite)]


def _read(result: Any) -> tuple[list[int] | None, str]:
    """The failing rows of one result, or why it did not run."""
    if result is None:
        return None, "no result came back"
    info = result.exception_info or {}
    raised = [each for each in ([info] if "raised_exception" in info else info.values()) if each["raised_exception"]]
    if raised:
        return None, str(raised[0]["exception_message"]).splitlines()[0][:200]
    rows = result.result.get("unexpected_index_list")
    if rows is None:
        return ([], "") if result.success else (None, "it failed without saying where")
    return [int(row) for row in rows], ""
