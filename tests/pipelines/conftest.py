"""What the tests of publishing share: homes whose MLflow database is ready, and small drafts."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from editors.base import FactEffect
from editors.delta import WeightDelta, parameters_digest
from editors.factors import LayerDelta
from editors.load import LoadedModel, weights_digest
from pipelines.publish import FeedRecord, ReleaseDraft, publish
from pipelines.releasing.tracking import mlflow_client
from pipelines.workplace import Workplace
from registry.artifacts import store
from registry.facts import FactEvent, view
from registry.home import Home
from registry.ledger import Ledger
from registry.records import Fact, Release

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FRANCE = Fact("France", "capital", "Paris", source="atlas")
NAURU = Fact("Nauru", "capital", "Yaren", date(1968, 1, 31), source="atlas")


@dataclass(frozen=True)
class Drafts:
    """Makes drafts for a home, over a base model that nothing loads."""

    home: Home
    index: Path
    at: datetime = AT
    france: Fact = FRANCE
    nauru: Fact = NAURU

    def brings(self, fact: Fact, memory: str = "rag") -> FactEvent:
        """An assertion of a fact."""
        return FactEvent(0, "assert", fact, None, AT, memory, 0, "because")

    def delta(self, content: str = "{}") -> str:
        """A stored delta that nothing applies."""

        def build(folder: Path) -> None:
            (folder / "delta.json").write_text(content)

        return store(self.home.deltas, build).digest

    def of(self, *events: FactEvent, parent: int | None = None) -> ReleaseDraft:
        """A draft with one delta and one feed row."""
        rows = ({"row": 1, "decision": "ADD", "raw": "France,capital,Paris", "reasons": []},)
        return ReleaseDraft(
            parent=parent,
            model="tiny",
            base_digest="b" * 64,
            deltas=(self.delta(),),
            weights_digest="w" * 64,
            events=events,
            index=self.index,
            actor="tester",
            summary={"facts": len(events)},
            feed=FeedRecord("f" * 64, "feed.csv", rows),
            entries=(("routed", {"fact": FRANCE.id, "memory": "rag"}),),
        )


@pytest.fixture(scope="session")
def mlflow_ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database; making one takes seconds, copying it does not."""
    home = Home.at(tmp_path_factory.mktemp("mlflow") / "home")
    with mlflow_client(home) as client:
        assert client.search_registered_models() == []
    return home.mlflow / "mlflow.db"


@pytest.fixture
def make_home(tmp_path: Path, mlflow_ready: Path) -> Callable[[str], Home]:
    """Makes homes by name, with MLflow's database in them."""

    def make(name: str) -> Home:
        home = Home.at(tmp_path / name)
        home.mlflow.mkdir(parents=True)
        shutil.copyfile(mlflow_ready, home.mlflow / "mlflow.db")
        return home

    return make


@pytest.fixture
def home(make_home: Callable[[str], Home]) -> Home:
    """A home in which nothing is published."""
    return make_home("home")


@pytest.fixture
def ledger(home: Home) -> Iterator[Ledger]:
    """Its ledger."""
    with Ledger.open(home) as ledger:
        yield ledger


@pytest.fixture(scope="session")
def publishing(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Home], Drafts]:
    """Makes drafts for any home."""
    folder = tmp_path_factory.mktemp("index")
    (folder / "ids.json").write_text('{"ids":[]}')
    return lambda home: Drafts(home, folder)


@pytest.fixture
def drafts(home: Home, publishing: Callable[[Home], Drafts]) -> Drafts:
    """Makes drafts for the home."""
    return publishing(home)


def random_delta(loaded: LoadedModel, layer: int, fact_ids: tuple[str, ...], strength: float = 1.0) -> WeightDelta:
    """A real delta of one column per fact, large enough to change what the model says."""
    import torch

    parameter = f"model.layers.{layer}.mlp.down_proj.weight"
    d_out, d_in = loaded.model.get_parameter(parameter).shape
    numbers = torch.Generator().manual_seed(0)
    targets = strength * torch.randn(d_out, len(fact_ids), generator=numbers, dtype=torch.float64)
    basis = torch.randn(len(fact_ids), d_in, generator=numbers, dtype=torch.float64)
    gram = basis @ basis.t()
    solved = LayerDelta.solved(parameter, False, "ridge", targets, basis, gram)
    columns = tuple((fact_id,) for fact_id in fact_ids)
    effects = tuple(FactEffect(fact_id, "written", "for the test") for fact_id in fact_ids)
    return WeightDelta("memit", "ridge", columns, (solved,), parameters_digest(loaded.model, (parameter,)), effects, {})


def publish_weights(
    home: Home, drafts: Drafts, loaded: LoadedModel, model: str, layer: int, strength: float = 1.0
) -> None:
    """Publish a release of France alone, and one that writes Nauru into the weights of layer `layer`."""
    delta = random_delta(loaded, layer, (NAURU.id,), strength)
    with delta.applied(loaded.model):
        edited = weights_digest(loaded.model)
    first = replace(
        drafts.of(drafts.brings(FRANCE)),
        model=model,
        base_digest=loaded.digest,
        weights_digest=loaded.digest,
        deltas=(),
    )
    second = replace(
        drafts.of(drafts.brings(NAURU, "memit"), parent=1),
        weights_digest=edited,
        deltas=(store(home.deltas, delta.save).digest,),
        model=model,
        base_digest=loaded.digest,
    )
    with Ledger.open(home) as ledger:
        publish(home, ledger, first, AT)
        publish(home, ledger, second, AT)


@pytest.fixture(scope="module")
def weights_original(
    tmp_path_factory: pytest.TempPathFactory,
    mlflow_ready: Path,
    publishing: Callable[[Home], Drafts],
    tiny_llama: LoadedModel,
) -> Path:
    """A home with a real tiny model: release 1 is the base, release 2 has a delta in its weights."""
    root = tmp_path_factory.mktemp("weights")
    home = Home.at(root / "home")
    home.mlflow.mkdir(parents=True)
    shutil.copyfile(mlflow_ready, home.mlflow / "mlflow.db")
    tiny_llama.model.save_pretrained(root / "tiny-llama")
    tiny_llama.tokenizer.save_pretrained(root / "tiny-llama")
    publish_weights(home, publishing(home), tiny_llama, str(root / "tiny-llama"), layer=1)
    return home.root


@pytest.fixture
def weights_home(weights_original: Path, tmp_path: Path) -> Home:
    """A copy of it."""
    shutil.copytree(weights_original, tmp_path / "weights-home")
    return Home.at(tmp_path / "weights-home")


@pytest.fixture
def weights_release(publishing: Callable[[Home], Drafts]) -> Callable[[Home, LoadedModel, str, int, float], None]:
    """Publishes the two releases of `publish_weights` with any model into any home."""
    return lambda home, loaded, model, layer, strength: publish_weights(
        home, publishing(home), loaded, model, layer, strength
    )


@pytest.fixture
def real_release(
    publishing: Callable[[Home], Drafts], tmp_path: Path
) -> Callable[[Home, LoadedModel, str, Home], None]:
    """Publishes one release with a real index and a real base model without deltas."""

    def run(home: Home, loaded: LoadedModel, model: str, pulled: Home) -> None:
        from pipelines.answering.indexing import index_facts
        from pipelines.settings import Settings

        drafts = publishing(home)
        events = (drafts.brings(FRANCE), drafts.brings(NAURU))
        index_facts(pulled, Settings.load().catalogue, view(events), tmp_path / "real-index")
        draft = replace(
            drafts.of(*events),
            model=model,
            base_digest=loaded.digest,
            weights_digest=loaded.digest,
            deltas=(),
            index=tmp_path / "real-index",
        )
        with Ledger.open(home) as ledger:
            publish(home, ledger, draft, AT)

    return run


@pytest.fixture(scope="session")
def more(publishing: Callable[[Home], Drafts]) -> Callable[[Home, str], Release]:
    """Publishes one more release with a real delta on the champion, as a run would."""

    def run(home: Home, name: str) -> Release:
        fact, at = Fact(name, "capital", "Town"), datetime(2026, 1, 3, tzinfo=UTC)
        drafts = publishing(home)
        with Workplace.opened(home, None, "tester", at) as place:
            assert place.parent is not None
            delta = random_delta(place.loaded, 0, (fact.id,), 0.1)
            base, deltas = place.base_digest, place.deltas
            with delta.applied(place.loaded.model):
                edited = weights_digest(place.loaded.model)
            draft = replace(
                drafts.of(drafts.brings(fact, "memit"), parent=place.parent.number),
                model=place.model,
                base_digest=base,
                weights_digest=edited,
                deltas=(*deltas, store(home.deltas, delta.save).digest),
                feed=None,
            )
            return publish(home, place.ledger, draft, at)

    return run
