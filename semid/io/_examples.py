"""Rows of tables that a restored estimator can be given, to see whether one passes through."""

from functools import partial

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from semid.ctr._base import BaseCTRClassifier
from semid.embedders import TextEmbedder
from semid.features import HistoryEncoder, SemanticIDEncoder
from semid.features._times import NUMBERS, ZONED_DATES
from semid.tables._frames import find_column
from semid.tables._histories import HistoryArray


def parts_of(estimator):
    """Yield `estimator` and the fitted estimators that it is composed of."""
    yield estimator
    steps = estimator.steps if isinstance(estimator, Pipeline) else getattr(estimator, "transformers_", ())
    for _, step, *_ in steps:
        if hasattr(step, "get_params"):
            yield from parts_of(step)


def example_row(estimator):
    """Return one row of a table that `estimator` can be given, None where nobody knows."""
    examples = {
        SemanticIDEncoder: _example_of_ids,
        BaseCTRClassifier: _example_of_impressions,
        ColumnTransformer: _example_of_columns,
        Pipeline: _example_of_first_step,
        TextEmbedder: _example_of_texts,
        HistoryEncoder: _example_of_times,
    }
    default = partial(table_of, value=0.0) if _takes_numbers(estimator) else lambda estimator: None
    return next((make for kind, make in examples.items() if isinstance(estimator, kind)), default)(estimator)


def _takes_numbers(estimator):
    return not estimator.__sklearn_tags__().input_tags.string and hasattr(estimator, "n_features_in_")


def table_of(estimator, value):
    """Return a row of `value`, with names of columns where there were some in `fit`."""
    row = np.full((1, estimator.n_features_in_), value, dtype=np.float32)
    return pd.DataFrame(row, columns=estimator.feature_names_in_) if hasattr(estimator, "feature_names_in_") else row


def _named_row(estimator, values):
    """Return a row of `values`, each a column of objects, under the names that `fit` met."""
    row = np.empty((1, len(values)), dtype=object)
    for position, value in enumerate(values):
        row[0, position] = value
    return pd.DataFrame(row, columns=getattr(estimator, "feature_names_in_", None))


def _example_of_ids(encoder):
    id_ = encoder.ids_[0]
    values = [[id_] if place in encoder._histories() else id_ for place in range(encoder.n_features_in_)]
    if encoder.user is not None:
        names = list(getattr(encoder, "feature_names_in_", range(len(values))))
        values.insert(find_column("user", encoder.user, names), id_)
    return _named_row(encoder, values[: encoder.n_features_in_])


def _example_of_times(encoder):
    """Return a row of a user and a time before all clicks, whatever the other columns are."""
    log, row = encoder.log_, _named_row(encoder, [0] * encoder.n_features_in_)
    if encoder.time is None:
        return row
    first = 0 if log._kind == NUMBERS else pd.Timestamp(0, tz="UTC" if log._kind == ZONED_DATES else None)
    return row.assign(**{row.columns[find_column("time", encoder.time, list(row.columns))]: [first]})


def _example_of_texts(embedder):
    return _named_row(embedder, ["a"] * embedder.n_features_in_)


def _example_of_impressions(classifier):
    encoder = classifier.encoder_
    values = [0.0] * len(encoder.names_)
    fields = [*encoder.categorical_, *encoder.lists_]
    for position, vocabulary in zip(fields, encoder.vocabularies_, strict=True):
        known = vocabulary[:1].tolist() if isinstance(vocabulary, np.ndarray) else [1]
        # Other kinds of categories, such as intervals, come in columns of their own dtype: missing here.
        known = [category for category in known if isinstance(category, str | int)]
        values[position] = known if position in encoder.lists_ else next(iter(known), None)
    row = _named_row(classifier, values)
    row.columns = encoder.names_
    for position, _, codes in encoder.histories_:
        n_codes = max(codes) + 1
        history = HistoryArray([0], [1], [0], [1], codes=np.zeros((1, n_codes), dtype=np.int64) if n_codes else None)
        row[encoder.names_[position]] = history
    return row


def _example_of_columns(transformer):
    """Return a row of those of the transformers, of ids where a column is read as such, zeros where nobody knows."""
    values = [0.0] * transformer.n_features_in_
    for name, step, _ in sorted(transformer.transformers_, key=lambda entry: _reads_ids(entry[1])):
        row = example_row(step) if hasattr(step, "get_params") else None
        if row is not None:
            for position, value in zip(transformer._transformer_to_input_indices[name], _first(row), strict=True):
                values[position] = value
    return _named_row(transformer, values)


def _reads_ids(step):
    return hasattr(step, "get_params") and any(isinstance(part, SemanticIDEncoder) for part in parts_of(step))


def _first(row):
    return row.iloc[0].tolist() if isinstance(row, pd.DataFrame) else row[0].tolist()


def _example_of_first_step(pipeline):
    steps = [step for _, step in pipeline.steps if hasattr(step, "get_params")]
    return example_row(steps[0]) if steps else None
