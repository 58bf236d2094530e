"""The retrieval index of a state: every version that is known, as a sentence."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from registry.catalogue import Catalogue
from registry.home import Home
from registry.records import KnownFact

if TYPE_CHECKING:
    from editors.rag.config import RagConfig
    from editors.rag.embed import MiniLM
    from editors.rag.index import Index

ENCODER = "minilm"
"""Short name of the sentence encoder in `conf/models.yaml`."""


def retrieval_numbers() -> "RagConfig":
    """How sentences are indexed and found: `rag.yaml` of the conf folder, the defaults where it holds none.

    Raises:
        InputError: the file cannot be read as such numbers.
    """
    from editors.rag.config import RagConfig
    from pipelines.settings import conf_folder

    path = conf_folder() / "rag.yaml"
    return RagConfig.read(path) if path.is_file() else RagConfig()


def encoder_of(home: Home) -> "MiniLM":
    """The sentence encoder that `rag.yaml` names, or that of this home, pulled if it is not there yet.

    Raises:
        ModelError: it cannot be had.
    """
    from editors.rag.embed import MiniLM
    from pipelines.running.models import pull

    config = retrieval_numbers()
    return MiniLM(config.embedder or pull(home, ENCODER), batch=config.batch, max_tokens=config.max_tokens)


def statements(catalogue: Catalogue, facts: Iterable[KnownFact]) -> dict[str, str]:
    """The sentence of every fact by its id, as an index holds them."""
    return {item.fact.id: catalogue.statement(item.fact) for item in facts}


def index_facts(
    home: Home, catalogue: Catalogue, facts: Sequence[KnownFact], folder: Path, *, previous: Path | None = None
) -> "Index":
    """Write the index of `facts` into `folder`; sentences that `previous` holds are not encoded again.

    Raises:
        ModelError: the sentence encoder cannot be had.
    """
    from editors.rag.index import build_index

    sentences = statements(catalogue, facts)
    return build_index(sentences, folder, previous=previous, encoder=encoder_of(home), config=retrieval_numbers())


def open_index(home: Home, folder: Path) -> "Index":
    """The index in `folder`, with the sentence encoder of this home.

    Raises:
        InputError: the folder holds none.
        IntegrityError: another encoder made it.
        ModelError: the sentence encoder cannot be had.
    """
    from editors.rag.index import Index

    return Index.open(folder, encoder=encoder_of(home), config=retrieval_numbers())
