"""The MLflow model of a release: it answers questions from all of its memories, with provenance.

MLflow runs this file to build the model ("models from code"), which is why it ends with a call. The facts, the index
and the deltas lie in the version's own folder; the base model is taken by name and checked by digest.

    model = mlflow.pyfunc.load_model("models:/dmm-gov-smollm2@champion")
    model.predict([{"question": "Who is the president of France?", "as_of": "2024-05-01"}])
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, get_args

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from pipelines.answer import Answerer
from pipelines.answering.reply import Reply, Setting
from pipelines.releasing import opening
from registry.errors import InputError, UnknownNameError

SETTINGS: tuple[Setting, ...] = get_args(Setting)
DEFAULT_SETTING: Setting = "offline"


class ReleaseModel(PythonModel):
    """Answers from the release whose artefacts it was saved with."""

    def load_context(self, context: Any) -> None:
        """Remember where the artefacts lie; the model itself is put together when the first question comes."""
        self.artifacts = {name: Path(path) for name, path in context.artifacts.items()}
        self.answerer: Answerer | None = None

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Answer every row.

        Args:
            context: MLflow's, not used here.
            model_input: column `question`, optional columns `setting` ("parametric", "offline" or "online") and
                `as_of` (a date); also a list of questions, or of mappings with these keys.
            params: not used.

        Returns:
            One reply per row, in order, as plain values: text, whether it is known, the facts that it rests on with
            their source, memory and release.

        Raises:
            InputError: a row has no question, an unknown setting or a date that is none.
            IntegrityError: base model, delta or weights are not as recorded.
        """
        asked = [_asked(row) for row in rows_of(model_input)]
        if self.answerer is None:
            self.answerer = opening.open_answerer(self.artifacts)
        replies: dict[int, Reply] = {}
        for group in dict.fromkeys((setting, day) for _, setting, day in asked):
            places = [place for place, (_, setting, day) in enumerate(asked) if (setting, day) == group]
            answers = self.answerer.ask_many([asked[place][0] for place in places], *group)
            replies.update(zip(places, answers, strict=True))
        return [replies[place].to_dict() for place in range(len(asked))]


def rows_of(model_input: Any) -> list[Mapping[str, Any]]:
    """Rows as mappings, whatever form they came in."""
    if isinstance(model_input, pd.DataFrame):
        return [
            {str(name): value for name, value in row.items() if not pd.isna(value)}
            for row in model_input.to_dict("records")
        ]
    if isinstance(model_input, str | Mapping):
        model_input = [model_input]
    return [{"question": row} if isinstance(row, str) else row for row in model_input]


def _asked(row: Mapping[str, Any]) -> tuple[str, Setting, date]:
    """Question, setting and day of a row."""
    question = str(row.get("question") or "").strip()
    if not question:
        raise InputError("a row with a question", "one without", "fill the column 'question'")
    named = str(row.get("setting") or DEFAULT_SETTING)
    setting = next((one for one in SETTINGS if one == named), None)
    if setting is None:
        raise UnknownNameError("setting", named, SETTINGS)
    given = row.get("as_of")
    try:
        day = date.fromisoformat(str(given)[:10]) if given else datetime.now(UTC).date()
    except ValueError as error:
        raise InputError("a date such as 2024-05-01 in as_of", repr(given), "mend it") from error
    return question, setting, day


set_model(ReleaseModel())
