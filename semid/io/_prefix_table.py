"""Codes for generators of codes: which may follow which, and as tokens of a language model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from semid.base._checks import as_numbers, check_integer
from semid.io._mapping import letters_of
from semid.tables._prefixes import PrefixTable, check_sizes_of_codebooks


def prefix_table(codes: ArrayLike, codebook_sizes: Sequence[int] | None = None) -> PrefixTable:
    """Return which codes may follow each beginning of codes, for a beam search that generates no ID but those of items.

    A sorted array of whole numbers per level: a beginning is looked up by binary search, a batch of them at a time, and
    no tree of Python objects is built. 1,000,000 items of 4 codes take about a second and 50 MB.

    Parameters
    ----------
    codes : array-like of shape (n_items, n_codebooks), int
        Codes of all items, those of several items may be equal.
    codebook_sizes : sequence of int of length n_codebooks, default None
        Size of each codebook, the width of `PrefixTable.allowed`; None for one more than its largest code.

    Returns
    -------
    table : PrefixTable
        ``allowed(prefixes)`` is a mask (n_prefixes, codebook_size) of next codes, ``items(codes)`` the rows of the
        items that have such codes, ``nodes``, ``step`` and ``children`` walk from level to level, ``nbytes`` is its
        memory.

    Raises
    ------
    ValueError
        If `codes` are no whole numbers from 0 to below the codebook sizes, a column per codebook.

    Examples
    --------
    >>> from semid.io import prefix_table
    >>> table = prefix_table([[0, 1], [0, 2], [2, 0], [0, 1]])
    >>> table.allowed([[0], [1]]).tolist()
    [[False, True, True], [False, False, False]]
    >>> [rows.tolist() for rows in table.items([[0, 1], [2, 2]])]
    [[0, 3], []]
    """
    return PrefixTable(codes, codebook_sizes)


class CodeVocabulary(NamedTuple):
    """Codes as tokens of a language model: which token stands for which code of which codebook.

    Made by `add_code_tokens`, or of the token ids that a model has for codes already.

    Parameters
    ----------
    token_ids : list of ndarray of shape (codebook_size,), int64
        For each codebook the token of each of its codes. All tokens are different: code 3 of the first codebook is
        another token than code 3 of the second.

    Examples
    --------
    >>> import numpy as np
    >>> from semid.io import CodeVocabulary
    >>> vocabulary = CodeVocabulary([np.array([100, 101]), np.array([102, 103, 104])])
    >>> vocabulary.encode([[1, 2], [0, 0]]).tolist()
    [[101, 104], [100, 102]]
    >>> vocabulary.decode([[101, 104], [101, 101]]).tolist()
    [[1, 2], [1, -1]]
    """

    token_ids: list[np.ndarray]

    def encode(self, codes: ArrayLike) -> np.ndarray:
        """Return the tokens of codes.

        Parameters
        ----------
        codes : array-like of shape (n_items, n), int
            Codes of the first n codebooks, or of all.

        Returns
        -------
        tokens : ndarray of shape (n_items, n), int64

        Raises
        ------
        ValueError
            If a code is beyond its codebook.
        """
        codes = as_numbers("codes", codes)
        if codes.ndim != 2 or codes.shape[1] > len(self.token_ids):
            raise ValueError(f"codes must have shape (n_items, n), n up to {len(self.token_ids)}, got {codes.shape}.")
        for n, column in enumerate(codes.T):
            if len(column) and not 0 <= column.min() <= column.max() < len(self.token_ids[n]):
                raise ValueError(
                    f"codes of codebook {n} must lie in [0, {len(self.token_ids[n])}), got {column.min()} to "
                    f"{column.max()}."
                )
        if (codes != np.round(codes)).any():
            raise ValueError(f"codes must be whole numbers, got {codes[codes != np.round(codes)][0]}.")
        columns = [
            np.asarray(tokens, dtype=np.int64)[column]
            for tokens, column in zip(self.token_ids, codes.astype(np.int64).T, strict=False)
        ]
        return np.stack(columns, axis=1) if columns else np.empty((len(codes), 0), dtype=np.int64)

    def decode(self, tokens: ArrayLike) -> np.ndarray:
        """Return the codes of tokens, the very ones that `encode` was given; -1 for what is no token of its codebook.

        Of token ids, never of decoded text: tokenizers of T5 lose the space before a code's token, others do not.

        Parameters
        ----------
        tokens : array-like of shape (n_items, n), int
            What was generated after the prompt, n up to the number of codebooks.

        Returns
        -------
        codes : ndarray of shape (n_items, n), int64

        Raises
        ------
        ValueError
            If there are more columns than codebooks.
        """
        tokens = np.asarray(tokens)
        if tokens.ndim != 2 or tokens.shape[1] > len(self.token_ids):
            raise ValueError(
                f"tokens must have shape (n_items, n), n up to {len(self.token_ids)}, got {tokens.shape}. Cut the "
                "prompt and what follows the codes off."
            )
        codes = np.full(tokens.shape, -1, dtype=np.int64)
        for n, column in enumerate(tokens.T):
            known = np.asarray(self.token_ids[n])
            order = np.argsort(known)
            known = known[order]
            places = np.minimum(np.searchsorted(known, column), len(known) - 1)
            codes[:, n] = np.where(known[places] == column, order[places], -1)
        return codes


def add_code_tokens(tokenizer: Any, codebook_sizes: Sequence[int]) -> CodeVocabulary:
    """Add a token for each code of each codebook to a tokenizer of `transformers`, and return which they are.

    Tokens are ``<a_0>``, ``<a_1>``, ... of the first codebook, ``<b_0>``, ... of the second, as `to_tokens` writes
    them, one after the other: a code of codebook n is the first token added, plus the sizes of the codebooks before,
    plus the code. Those that the tokenizer has already stay where they are. Call
    ``model.resize_token_embeddings(len(tokenizer))`` afterwards.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
        It is changed.
    codebook_sizes : sequence of int
        Size of each codebook.

    Returns
    -------
    vocabulary : CodeVocabulary

    Raises
    ------
    ValueError
        If a size is less than 1, or the tokenizer does not keep a token whole.
    TypeError
        If `codebook_sizes` is no sequence of integers.

    Examples
    --------
    >>> from tokenizers import Tokenizer, models, pre_tokenizers
    >>> from transformers import PreTrainedTokenizerFast
    >>> from semid.io import add_code_tokens
    >>> words = Tokenizer(models.WordLevel({"buy": 0, "?": 1}, unk_token="?"))
    >>> words.pre_tokenizer = pre_tokenizers.Whitespace()
    >>> tokenizer = PreTrainedTokenizerFast(tokenizer_object=words)
    >>> [tokens.tolist() for tokens in add_code_tokens(tokenizer, [2, 3]).token_ids]
    [[2, 3], [4, 5, 6]]
    >>> tokenizer("buy <a_1><b_2>")["input_ids"]
    [0, 3, 6]
    """
    sizes = check_sizes_of_codebooks(codebook_sizes)
    flat = [f"<{letters_of(n)}_{code}>" for n, size in enumerate(sizes) for code in range(size)]
    tokenizer.add_tokens(flat)
    ids = np.asarray(tokenizer.convert_tokens_to_ids(flat), dtype=np.int64)
    if len(np.unique(ids)) < len(ids):
        raise ValueError(
            f"tokenizer must take up every token of the codes, got {len(np.unique(ids))} ids for {len(ids)} tokens "
            f"such as {flat[0]!r}."
        )
    return CodeVocabulary(np.split(ids, np.cumsum(sizes)[:-1]))


class CodeLogitsProcessor:
    """Lets a language model of `transformers` generate the codes of items, and no other sequence.

    For ``model.generate(..., logits_processor=[processor])``, greedy, sampled or with beams: after the prompt come the
    codes of an item, one per codebook, then the end.

    Parameters
    ----------
    table : PrefixTable
        Of the catalogue, see `prefix_table`.
    vocabulary : CodeVocabulary
        The model's tokens of codes, see `add_code_tokens`.
    prompt_length : int
        Number of tokens that the model is given before the first code: ``input_ids.shape[1]`` of a decoder; 1 of an
        encoder-decoder, whose decoder begins with a token of its own.
    end_token_id : int
        What must follow the codes: ``tokenizer.eos_token_id``.

    Raises
    ------
    ValueError
        If table and vocabulary are not of the same codebooks.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from semid.io import CodeLogitsProcessor, CodeVocabulary, prefix_table
    >>> table = prefix_table([[0, 1], [1, 0]])
    >>> vocabulary = CodeVocabulary([np.array([5, 6]), np.array([7, 8])])
    >>> processor = CodeLogitsProcessor(table, vocabulary, prompt_length=1, end_token_id=0)
    >>> processor(torch.tensor([[3, 5]]), torch.zeros(1, 9)).isfinite().nonzero().tolist()  # <a_0>, then <b_1> alone
    [[0, 8]]
    """

    def __init__(
        self, table: PrefixTable, vocabulary: CodeVocabulary, *, prompt_length: int, end_token_id: int
    ) -> None:
        sizes = tuple(len(tokens) for tokens in vocabulary.token_ids)
        if len(sizes) != table.n_codebooks or any(s < t for s, t in zip(sizes, table.codebook_sizes, strict=True)):
            raise ValueError(
                f"vocabulary must have a token for every code of the table, whose codebooks are "
                f"{table.codebook_sizes}, got codebooks of {sizes}."
            )
        self.table, self.vocabulary = table, vocabulary
        self.prompt_length = check_integer("prompt_length", prompt_length, 0)
        self.end_token_id = check_integer("end_token_id", end_token_id, 0)
        self._largest = max(self.end_token_id, *(int(np.max(tokens)) for tokens in vocabulary.token_ids))

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Return `scores` (B, n_tokens) with -inf for every token that leads to no item.

        Parameters
        ----------
        input_ids : Tensor
            What there is so far, (B, length).
        scores : Tensor
            Of the next token, (B, n_tokens).

        Returns
        -------
        scores : Tensor

        Raises
        ------
        ValueError
            If there are fewer tokens than the prompt has, or scores of fewer tokens than the vocabulary has.
        """
        self._check(input_ids, scores)
        generated = input_ids[:, self.prompt_length :].cpu().numpy()
        level = generated.shape[1]
        allowed = np.zeros(tuple(scores.shape), dtype=bool)
        if level < self.table.n_codebooks:
            prefixes = self.vocabulary.decode(generated)
            mask = self.table.allowed(prefixes)
            allowed[:, self.vocabulary.token_ids[level][: mask.shape[1]]] = mask
            allowed[~mask.any(axis=1), self.end_token_id] = True  # of no item: a beam that has ended
        else:
            allowed[:, self.end_token_id] = True
        import torch

        return scores.masked_fill(torch.from_numpy(~allowed).to(scores.device), -torch.inf)

    def _check(self, input_ids, scores):
        if input_ids.shape[1] < self.prompt_length:
            raise ValueError(
                f"prompt_length must be the number of tokens before the first code, got {self.prompt_length} where "
                f"the model was given {input_ids.shape[1]}. Pass input_ids.shape[1] of a decoder, 1 of an "
                "encoder-decoder."
            )
        if scores.shape[1] <= self._largest:
            raise ValueError(
                f"vocabulary and end_token_id must be tokens of the model, which has {scores.shape[1]}, got "
                f"{self._largest}. Call model.resize_token_embeddings(len(tokenizer)) after add_code_tokens."
            )

    def __repr__(self) -> str:
        return f"CodeLogitsProcessor({self.table!r}, prompt_length={self.prompt_length})"
