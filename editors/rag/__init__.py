"""RAG: facts kept as sentences beside the model, found again by words and by meaning."""

from editors.rag.config import RagConfig
from editors.rag.editor import ContextDelta, RagEditor
from editors.rag.embed import Encoder, MiniLM
from editors.rag.index import Hit, Index, build_index

__all__ = ["ContextDelta", "Encoder", "Hit", "Index", "MiniLM", "RagConfig", "RagEditor", "build_index"]
