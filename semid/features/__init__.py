"""From an item-id column to columns of codes."""

from semid.features._item_table import ItemTable
from semid.features._semantic_id_encoder import SemanticIDEncoder

__all__ = ["ItemTable", "SemanticIDEncoder"]
