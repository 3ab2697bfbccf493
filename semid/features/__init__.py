"""From an item-id column to columns of codes, and from codes to fields."""

from semid.features._item_table import ItemTable
from semid.features._prefix_ngram_encoder import PrefixNGramEncoder
from semid.features._semantic_id_encoder import SemanticIDEncoder

__all__ = ["ItemTable", "PrefixNGramEncoder", "SemanticIDEncoder"]
