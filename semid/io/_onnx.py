"""Fitted tokenizers, click models and recommenders as ONNX files, for services that have neither semid nor torch."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from semid import __version__
from semid.base._typing import StrPath
from semid.io._files import replaced
from semid.tables._frames import check_table


def to_onnx(estimator: BaseEstimator, path: StrPath, *, overwrite: bool = False) -> None:
    """Write a fitted tokenizer, click model or recommender as an ONNX file, which is there as a whole or not at all.

    A tokenizer becomes a graph from ``embeddings``, float32 (batch, n_features), to ``codes``, int64 (batch,
    n_codebooks): those of `transform`. It computes in float64 throughout, so that codes do not depend on the batch
    or on the runtime.

    A click model becomes a graph from encoded impressions to ``click_probability``, float32 (batch,): the second column
    of `predict_proba`. Its inputs are those that `encode_for_onnx` returns:

    - ``categories``, int64 (batch, n_fields): per categorical column 0 for missing, 1 for unknown, else 2 + the place
      in the vocabulary. What a vocabulary has not counts as unknown.
    - ``lists``, int64 (batch, n_lists, longest): the same for columns of lists, 0 after their end.
    - ``histories``, int64 (batch, n_history_fields, longest): the items of histories, field by field, as ``categories``
      has those of candidates; 0 where a field does not know an item, and after the end.
    - ``history_lengths``, int64 (batch, n_histories): how many items each history has.
    - ``numbers``, float32 (batch, n_columns): standardised numbers, 0 where missing; then 1 where a column that was
      incomplete in `fit` is missing, else 0; then standardised vectors.

    An input that would have no columns is left out. The columns of each are listed in the metadata.

    A `NextItemRecommender` with the parallel head becomes a graph from ``histories``, int64 (batch, longest), positions
    in ``items_``, oldest first and 0 after the end, and ``history_lengths``, int64 (batch,), to ``scores``, float32
    (batch, n_items): those of `score_items`. `encode_for_onnx` makes them of ids; a history is at most ``max_length``
    long. The ids themselves are not in the file.

    Parameters
    ----------
    estimator : tokenizer, classifier or recommender
        Fitted. Not `RandomTokenizer` and `UniqueTokenizer`, whose codes are looked up: write these with
        `write_mapping`.
    path : str or path-like
        File to write, ``.onnx`` by custom.
    overwrite : bool, default False
        Whether to replace a file that is there.

    Raises
    ------
    FileExistsError
        If there is such a file, unless `overwrite` is True.
    ImportError
        If onnx is not installed.
    NotFittedError
        If `estimator` is not fitted.
    TypeError
        If `estimator` is something else, has another head, or computes with modules that are not semid's, such as a
        fusion of your own.
    ValueError
        If it has more weights than the 2 GiB that one ONNX file can hold.

    Notes
    -----
    The file is of opset 17 and needs nothing but the standard operators. Its metadata (``metadata_props``) are
    ``semid_version``, ``estimator`` (the class) and, as JSON, ``n_features`` and ``codebook_sizes`` of a tokenizer, or
    ``classes`` and the columns behind each input of a click model, or ``max_length`` of a recommender.

    A graph cannot refuse: embeddings with NaN or infinity, of which `transform` raises, get codes without meaning.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import onnxruntime
    >>> from semid.datasets import make_items
    >>> from semid.io import to_onnx
    >>> from semid.tokenizers import ResidualKMeansTokenizer
    >>> X = make_items(n_items=500, random_state=0).embeddings
    >>> tokenizer = ResidualKMeansTokenizer(codebook_size=16, random_state=0).fit(X)
    >>> with TemporaryDirectory() as there:
    ...     to_onnx(tokenizer, Path(there) / "tokenizer.onnx")
    ...     session = onnxruntime.InferenceSession(Path(there) / "tokenizer.onnx")
    >>> (codes,) = session.run(None, {"embeddings": X})
    >>> bool((codes == tokenizer.transform(X)).all())
    True
    """
    onnx = _onnx()
    graph, metadata = _graph_and_metadata(estimator)
    metadata = {"semid_version": __version__, "estimator": type(estimator).__name__} | {
        key: json.dumps(value, default=_plain) for key, value in metadata.items()
    }
    model = graph.to_model(onnx, metadata)
    with replaced(path, overwrite=overwrite) as staged:
        staged.write_bytes(model.SerializeToString())


def encode_for_onnx(classifier: BaseEstimator, X: pd.DataFrame | ArrayLike) -> dict[str, np.ndarray]:
    """Return what the graph of a click model takes for a table of impressions, or that of a recommender for histories.

    Its ``lists`` and ``histories`` are as long as the longest in `X`: pass a batch at a time.

    Parameters
    ----------
    classifier : classifier or recommender
        Fitted click model or `NextItemRecommender`, as given to `to_onnx`.
    X : DataFrame or array-like of shape (n_impressions, n_columns)
        Columns as in `fit`; for a recommender histories, as `recommend` takes them.

    Returns
    -------
    inputs : dict of ndarray
        Those of ``categories``, ``lists``, ``histories``, ``history_lengths`` and ``numbers`` that the model has; see
        `to_onnx`.

    Raises
    ------
    NotFittedError
        If `classifier` is not fitted.
    TypeError
        If `classifier` is neither.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import onnxruntime
    >>> from semid.ctr import DeepFMClassifier
    >>> from semid.datasets import make_clicks, make_items
    >>> from semid.io import encode_for_onnx, to_onnx
    >>> impressions = make_clicks(make_items(random_state=0), n_impressions=5000, random_state=0).frame
    >>> X, y = impressions[["user_id", "item_id", "hour"]], impressions["click"]
    >>> model = DeepFMClassifier(max_iter=3, random_state=0).fit(X, y)
    >>> with TemporaryDirectory() as there:
    ...     to_onnx(model, Path(there) / "model.onnx")
    ...     session = onnxruntime.InferenceSession(Path(there) / "model.onnx")
    >>> (probability,) = session.run(None, encode_for_onnx(model, X))
    >>> bool(abs(probability - model.predict_proba(X)[:, 1]).max() < 1e-5)
    True
    """
    from semid.ctr._base import BaseCTRClassifier
    from semid.io._onnx_clicks import input_shapes
    from semid.io._onnx_recommender import encode_histories
    from semid.recommend import NextItemRecommender

    if isinstance(classifier, NextItemRecommender):
        check_is_fitted(classifier)
        return encode_histories(classifier, X)
    if not isinstance(classifier, BaseCTRClassifier):
        raise TypeError(
            f"classifier must be a click model of semid.ctr, or a NextItemRecommender, got {type(classifier).__name__}."
        )
    check_is_fitted(classifier)
    encoded = classifier.encoder_.encode(check_table(classifier, X, reset=False))
    inputs = {
        "categories": encoded.categories.astype(np.int64),
        "lists": _padded(encoded.lists),
        "histories": _padded_histories(encoded.histories),
        "history_lengths": _history_lengths(encoded.histories),
        "numbers": encoded.numbers,
    }
    return {name: inputs[name] for name in input_shapes(classifier.fields_.shapes)}


def _graph_and_metadata(estimator):
    # On first use: `import semid.io` loads no torch.
    from semid.ctr._base import BaseCTRClassifier
    from semid.io._onnx_clicks import classifier_graph
    from semid.io._onnx_recommender import recommender_graph
    from semid.io._onnx_tokenizers import tokenizer_graph
    from semid.recommend import NextItemRecommender
    from semid.tokenizers import UniqueTokenizer
    from semid.tokenizers._base import BaseTokenizer

    if isinstance(estimator, UniqueTokenizer):
        raise TypeError(
            "estimator must compute codes from embeddings alone, got UniqueTokenizer, which also looks up the items "
            "that it has placed. Write their codes: write_mapping(path, item_ids, estimator.transform(X)); its "
            "tokenizer_, whose codes items may share, can be written as ONNX."
        )
    if isinstance(estimator, BaseTokenizer):
        check_is_fitted(estimator)
        metadata = {"n_features": estimator.n_features_in_, "codebook_sizes": estimator.codebook_sizes_}
        return tokenizer_graph(estimator), metadata
    if isinstance(estimator, BaseCTRClassifier):
        check_is_fitted(estimator)
        return classifier_graph(estimator), {"classes": estimator.classes_} | _columns(estimator.encoder_)
    if isinstance(estimator, NextItemRecommender):
        check_is_fitted(estimator)
        return recommender_graph(estimator), {"max_length": estimator._architecture["max_length"]}
    raise TypeError(
        "estimator must be a tokenizer, a click model or a recommender of semid, got "
        f"{type(estimator).__name__}. Write the steps of a Pipeline that are such, each to a file of its own."
    )


def _columns(encoder):
    """Return the names of the columns behind each input, in order."""
    names = encoder.names_
    column_of = [names[position] for position in encoder.categorical_]
    numeric = [names[position] for position in encoder.numeric_]
    missing = [f"is missing: {numeric[m]}" for m in encoder.indicated_]
    return {
        "categories": [names[position] for position in encoder.categorical_],
        "lists": [names[position] for position in encoder.lists_],
        "histories": [f"{names[p]}: {column_of[f]}" for p, fields, _ in encoder.histories_ for f in fields],
        "history_lengths": [names[position] for position, *_ in encoder.histories_],
        "numbers": numeric + missing + [names[position] for vector in encoder.vectors_ for position in vector],
    }


def _padded(lists):
    """Return `EncodedLists` of several columns as (n_impressions, n_lists, longest), 0 after their end."""
    if not lists:
        return None
    longest = max(np.diff(column.offsets)[column.which].max(initial=1) for column in lists)
    padded = np.empty((len(lists[0].which), len(lists), longest), dtype=np.int64)
    for n, column in enumerate(lists):
        padded[:, n] = column.padded(longest)
    return padded


def _padded_histories(histories):
    """Return `EncodedHistories` of several columns as (n_impressions, n_history_fields, longest), 0 after their end."""
    if not histories:
        return None
    longest = int(_history_lengths(histories).max(initial=0))
    padded = []
    for column in histories:
        lengths = column.stops - column.starts
        owners = np.repeat(np.arange(len(lengths)), lengths)
        places = np.arange(len(owners)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        of_column = np.zeros((len(lengths), longest, column.categories.shape[1]), dtype=np.int64)
        of_column[owners, places] = column.categories[column.entries[column.starts[owners] + places]]
        padded.append(of_column.transpose(0, 2, 1))
    return np.concatenate(padded, axis=1)


def _history_lengths(histories):
    return np.stack([column.stops - column.starts for column in histories], axis=1) if histories else None


def _plain(value):
    """What json cannot write as what it can: numpy's arrays and numbers as Python's, the rest as text."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


def _onnx():
    try:
        import onnx
    except ImportError as error:
        raise ImportError('to_onnx needs onnx: pip install "semid[onnx]".') from error
    return onnx
