"""From an item-id column to columns of codes, from a log to histories, and to vectors of the items."""

from semid.features._click_history import ClickHistory
from semid.features._history_encoder import HistoryEncoder
from semid.features._interaction_embeddings import interaction_embeddings, interaction_matrix
from semid.features._item_table import ItemTable
from semid.features._prefix_ngram_encoder import PrefixNGramEncoder
from semid.features._semantic_id_encoder import SemanticIDEncoder

__all__ = [
    "ClickHistory",
    "HistoryEncoder",
    "ItemTable",
    "PrefixNGramEncoder",
    "SemanticIDEncoder",
    "interaction_embeddings",
    "interaction_matrix",
]
