"""Whether a restored estimator holds together: what its class needs, in shapes that fit, and a row that passes through.

Checked from the inside out: an estimator is checked once those within it are.
"""

import re

import numpy as np
import pandas as pd
from sklearn import config_context
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from semid.base._checks import check_codes, check_integer, check_number, check_option
from semid.ctr._base import BaseCTRClassifier
from semid.ctr._encoding import ImpressionEncoder
from semid.embedders import CoClickEmbedder, TextEmbedder
from semid.features import ClickHistory, HistoryEncoder, ItemTable, PrefixNGramEncoder, SemanticIDEncoder
from semid.features._times import DATES, NUMBERS, ZONED_DATES
from semid.io._examples import example_row, parts_of, table_of
from semid.io._restored_state import check_architecture, check_sizes, check_state
from semid.nn._fields import NORMS
from semid.recommend import NextItemRecommender
from semid.tables._rows import row_hashes
from semid.tokenizers import UniqueTokenizer
from semid.tokenizers._base import BaseTokenizer
from semid.tokenizers._candidates import gives_candidates
from semid.tokenizers._occupancy import ranks_within_equal, taken_places, to_numbers

_MOST_FEATURES = 2**20
_MOST_COLUMNS = 1_024  # of ids, or of codes
_LARGEST_BEAM = 2**26  # codes looked at per row
_DEVICE = re.compile(r"auto|cpu|cuda(:\d{1,3})?")
_UNFITTED = frozenset(["_sklearn_output_config"])  # set before any fit


def check_restored(instance):
    """Raise unless `instance` is whole; what is raised depends on what is wrong."""
    with np.errstate(all="ignore"):
        if isinstance(instance, ImpressionEncoder):
            return _check_impression_encoder(instance)
        if isinstance(instance, ClickHistory):
            return _check_log(instance)
        _check_parameters(instance)
        if _claims_to_be_fitted(instance):
            check_is_fitted(instance)
            _check_features(instance)
            _check_fitted(instance)


def _claims_to_be_fitted(instance):
    if isinstance(instance, Pipeline):  # has no attributes of its own
        return instance.__sklearn_is_fitted__()
    return bool(vars(instance).keys() - set(instance._get_param_names()) - _UNFITTED)


def _check_parameters(instance):
    parameters = instance.get_params(deep=False)
    device, seed = parameters.get("device", "auto"), parameters.get("random_state")
    if not (isinstance(device, str) and _DEVICE.fullmatch(device)):
        raise ValueError(f"device must be 'auto', 'cpu', 'cuda' or 'cuda:<index>', got {device!r:.80}.")
    if seed is not None and not 0 <= check_integer("random_state", seed, 0) < 2**32:
        raise ValueError(f"random_state must be below 2**32, got {seed}.")
    if hasattr(instance, "_check_parameters") and not _needs_a_model(instance):
        on_cpu(instance)._check_parameters()
    if isinstance(instance, SemanticIDEncoder):
        check_option("handle_unknown", instance.handle_unknown, ("use_encoded_value", "error"))
        if not isinstance(instance.items, ItemTable):
            raise TypeError(f"items must be an ItemTable, got {type(instance.items).__name__}.")


def _needs_a_model(instance):
    """Return whether `instance` computes with a model that is not in the artifact: it is not looked for here."""
    return isinstance(instance, TextEmbedder) and instance.model != "lsa"


def _check_features(instance):
    n_features = getattr(instance, "n_features_in_", 1)
    if check_integer("n_features_in_", n_features, 1) > _MOST_FEATURES:
        raise ValueError(f"n_features_in_ must be at most {_MOST_FEATURES}, got {n_features}.")
    names = getattr(instance, "feature_names_in_", None)
    if names is not None and (names.shape != (n_features,) or not all(isinstance(name, str) for name in names)):
        raise ValueError(f"feature_names_in_ must be {n_features} names, got an array of shape {names.shape}.")


def _check_fitted(instance):
    checks = {
        BaseTokenizer: _check_tokenizer,
        UniqueTokenizer: _check_unique_tokenizer,
        SemanticIDEncoder: _check_semantic_id_encoder,
        PrefixNGramEncoder: _check_prefix_encoder,
        HistoryEncoder: _check_history_encoder,
        CoClickEmbedder: _check_co_click_embedder,
        TextEmbedder: _check_text_embedder,
        BaseCTRClassifier: _check_classifier,
        NextItemRecommender: _check_recommender,
    }
    check = next((check for kind, check in checks.items() if isinstance(instance, kind)), _pass_one_row)
    check(instance)


def on_cpu(instance):
    """Return a copy that computes on the CPU, whatever device the parameter names; the state is shared."""
    twin = object.__new__(type(instance))
    vars(twin).update(vars(instance))
    if hasattr(twin, "device"):
        twin.device = "cpu"
    return twin


def _check_tokenizer(tokenizer):
    sizes, architecture = tokenizer.codebook_sizes_, tokenizer._architecture
    check_sizes(sizes)
    check_architecture(architecture, tokenizer._architecture_parameters, tokenizer._former_architecture)
    if check_integer("beam_size", architecture.get("beam_size", 1), 1) * max(sizes) > _LARGEST_BEAM:
        raise ValueError(f"beam_size must be at most {_LARGEST_BEAM // max(sizes)}, got {architecture['beam_size']}.")
    module = check_state(tokenizer)
    quantizer = module.quantizer
    if list(quantizer.sizes) * getattr(quantizer, "n_copies", 1) != sizes:
        raise ValueError(f"codebook_sizes_ must be those of the codebooks, {list(quantizer.sizes)}, got {sizes}.")
    twin = on_cpu(tokenizer)
    for row in (0.0, 1.0):
        codes = np.asarray(twin.transform(table_of(twin, row)))
        twin.inverse_transform(check_codes(codes, sizes))


def _check_unique_tokenizer(tokenizer):
    """Without a row that passes through: that there is no room for one more item is no damage."""
    inner, sizes = tokenizer.tokenizer_, tokenizer.codebook_sizes_
    check_option("strategy", tokenizer._strategy, ("reassign", "suffix"))
    check_sizes(sizes)
    has_suffix = tokenizer._strategy == "suffix"
    if (
        len(sizes) != len(inner.codebook_sizes_) + has_suffix
        or sizes[: len(sizes) - has_suffix] != inner.codebook_sizes_
    ):
        raise ValueError(
            f"codebook_sizes_ must begin with those of the tokenizer, {inner.codebook_sizes_}, got {sizes}."
        )
    if not has_suffix and not gives_candidates(inner):
        raise ValueError(f"tokenizer_ must give candidates, got a {type(inner).__name__}.")
    if inner.n_features_in_ != tokenizer.n_features_in_:
        raise ValueError(f"n_features_in_ must be {inner.n_features_in_}, got {tokenizer.n_features_in_}.")
    _check_placed(tokenizer)
    on_cpu(inner).inverse_transform(tokenizer.codes_[:1, : len(inner.codebook_sizes_)])


def _check_placed(tokenizer):
    hashes, codes, sizes = tokenizer.hashes_, tokenizer.codes_, tokenizer.codebook_sizes_
    if hashes.dtype != np.uint64 or hashes.ndim != 1 or not (hashes[:-1] < hashes[1:]).all():
        raise ValueError("hashes_ must be uint64 in increasing order.")
    if codes.dtype != np.int64 or len(check_codes(codes, sizes)) != len(hashes):
        raise ValueError(f"codes_ must be {len(hashes)} rows of int64, got {len(codes)} of {codes.dtype}.")
    capacity = check_integer("_capacity", vars(tokenizer).get("_capacity", 1), 1)
    if len(codes) and ranks_within_equal(to_numbers(codes, sizes)).max() >= capacity:
        raise ValueError(f"codes_ must have each row of codes {capacity} times at most.")
    if not np.array_equal(tokenizer._taken, taken_places(codes, sizes, capacity)):
        raise ValueError("_taken must be the places of codes_, in increasing order.")
    if "embeddings_" in vars(tokenizer):  # not kept by version 0.1.0
        _check_placed_embeddings(tokenizer.embeddings_, hashes, tokenizer.n_features_in_)


def _check_placed_embeddings(embeddings, hashes, n_features):
    if embeddings.dtype != np.float32 or embeddings.shape != (len(hashes), n_features):
        raise ValueError(
            f"embeddings_ must be {len(hashes)} rows of {n_features} float32, got {embeddings.shape} of "
            f"{embeddings.dtype}."
        )
    is_kept = ~np.isnan(embeddings).any(axis=1)
    if not np.isfinite(embeddings[is_kept]).all() or not np.isnan(embeddings[~is_kept]).all():
        raise ValueError("embeddings_ must be finite, or NaN in the whole row.")
    if not np.array_equal(row_hashes(embeddings[is_kept]), hashes[is_kept]):
        raise ValueError("embeddings_ must be those that hashes_ were made from.")


def _check_semantic_id_encoder(encoder):
    check_is_fitted(encoder.tokenizer_)
    ids, codes = encoder.ids_, encoder.codes_
    last = encoder.tokenizer_.steps[-1][1] if isinstance(encoder.tokenizer_, Pipeline) else encoder.tokenizer_
    if ids.ndim != 1 or codes.dtype != np.int64 or len(check_codes(codes, last.codebook_sizes_)) != len(ids):
        raise ValueError(f"codes_ must be {len(ids)} rows of int64, got {codes.shape} of {codes.dtype}.")
    if not len(ids) or not pd.Index(ids).is_unique:
        raise ValueError("ids_ must be unique.")
    if encoder.n_features_in_ > _MOST_COLUMNS:
        raise ValueError(f"n_features_in_ must be at most {_MOST_COLUMNS}, got {encoder.n_features_in_}.")
    encoder.get_feature_names_out()
    _pass_one_row(encoder)


def _check_log(log):
    """Raise unless a `ClickHistory` holds together: the clicks of each user one after the other, in order of time."""
    users, firsts, entries, times = log._users, log._firsts, log._entries, log._times
    if not users.is_unique or not pd.Index(log.items).is_unique:
        raise ValueError("users and items of a log must be distinct.")
    if firsts.dtype != np.int64 or entries.dtype != np.int32 or firsts.shape != (len(users) + 1,) or entries.ndim != 1:
        raise ValueError(f"a log of {len(users)} users must have as many firsts and one more, got {firsts.shape}.")
    if firsts[0] != 0 or firsts[-1] != len(entries) or (np.diff(firsts) < 0).any():
        raise ValueError(f"firsts must rise from 0 to the {len(entries)} clicks.")
    if len(entries) and not 0 <= entries.min() <= entries.max() < len(log.items):
        raise ValueError(f"entries must lie within the {len(log.items)} items.")
    if times is None:
        return
    is_later = np.append(np.diff(times) >= 0, True)
    is_later[firsts[1:] - 1] = True  # of another user
    if log._kind not in (NUMBERS, DATES, ZONED_DATES) or times.shape != entries.shape or not is_later.all():
        raise ValueError(f"times must be those of {len(entries)} clicks, in their order, got {log._kind!r:.80}.")


def _check_history_encoder(encoder):
    check_integer("max_length", encoder.max_length, 1)
    if encoder.n_features_in_ > _MOST_COLUMNS:
        raise ValueError(f"n_features_in_ must be at most {_MOST_COLUMNS}, got {encoder.n_features_in_}.")
    _pass_one_row(encoder)


def _check_prefix_encoder(encoder):
    check_option("ngrams", encoder.ngrams, ("prefix", "pairs"))
    if encoder.n_features_in_ > _MOST_COLUMNS or check_integer("n_buckets", encoder.n_buckets, 1) >= 2**63:
        raise ValueError(f"n_features_in_ must be at most {_MOST_COLUMNS} and n_buckets below 2**63.")
    _pass_one_row(encoder)


def _check_text_embedder(embedder):
    if not isinstance(embedder.model, str) or (embedder.model == "lsa") != hasattr(embedder, "_lsa"):
        raise ValueError(f"model must be that of fit, got {embedder.model!r:.80}.")
    if embedder.n_features_in_ > _MOST_COLUMNS or check_integer("n_features_out_", embedder.n_features_out_, 1) < 1:
        raise ValueError(f"n_features_in_ must be at most {_MOST_COLUMNS}, got {embedder.n_features_in_}.")
    if embedder.model == "lsa" and not embedder.n_features_out_ <= embedder._lsa.components_.shape[1]:
        raise ValueError(f"n_features_out_ must be at most the number of components, got {embedder.n_features_out_}.")
    _pass_one_row(embedder)


def _check_co_click_embedder(embedder):
    check_architecture(embedder._architecture, ("hidden_dim", "n_components"))
    check_state(embedder)
    hashes, vectors = embedder.clicked_hashes_, embedder.clicked_embeddings_
    if hashes.dtype != np.uint64 or hashes.ndim != 1 or not (hashes[1:] > hashes[:-1]).all():
        raise ValueError("clicked_hashes_ must be ascending, of dtype uint64.")
    shape = (len(hashes), embedder._architecture["n_components"])
    is_unit = vectors.shape == shape and (abs(np.linalg.norm(vectors, axis=1) - 1) < 1e-3).all()
    if vectors.dtype != np.float32 or not is_unit:
        raise ValueError(f"clicked_embeddings_ must be unit vectors, float32 of shape {shape}, got {vectors.shape}.")
    mean, n_features = embedder.mean_, embedder.n_features_in_
    items = getattr(embedder, "clicked_items_", None)  # which those of before do not have
    if items is not None and not (
        items.dtype == np.float32 and items.shape == (len(hashes), n_features) and (row_hashes(items) == hashes).all()
    ):
        raise ValueError(f"clicked_items_ must be the float32 embeddings of clicked_hashes_, got {items.shape}.")
    if mean.dtype != np.float32 or mean.shape != (n_features,) or not np.isfinite(mean).all():
        raise ValueError(f"mean_ must be {n_features} finite numbers, float32, got {mean.dtype} of shape {mean.shape}.")
    check_number("scale_", embedder.scale_, 0, open_minimum=True)
    check_number("content_weight", embedder._content_weight, 0)
    if not np.isfinite(np.asarray(on_cpu(embedder).transform(table_of(embedder, 0.0)))).all():
        raise ValueError(f"scale_ must keep embeddings finite, got {embedder.scale_}.")


def _check_impression_encoder(encoder):
    """Raise unless every column has one place, and what was learned of each fits."""
    n_columns = len(encoder.names_)
    fields = [*encoder.categorical_, *encoder.lists_]
    of_histories = [position for position, *_ in encoder.histories_]
    of_vectors = [position for vector in encoder.vectors_ for position in vector]
    positions = [*fields, *encoder.numeric_, *of_vectors, *of_histories]
    if sorted(positions) != list(range(n_columns)) or not all(type(position) is int for position in positions):
        raise ValueError(f"columns must have one place each, {n_columns} of them, got the places {positions!r:.80}.")
    if len(encoder.vocabularies_) != len(fields):
        raise ValueError(f"vocabularies_ must be {len(fields)}, got {len(encoder.vocabularies_)}.")
    for vocabulary in encoder.vocabularies_:
        _check_vocabulary(vocabulary)
    n_numbers = n_columns - len(fields) - len(of_histories)
    for name in ("means_", "scales_"):
        array = getattr(encoder, name)
        if array.shape != (n_numbers,) or array.dtype != np.float64 or not np.isfinite(array).all():
            raise ValueError(f"{name} must be {n_numbers} finite numbers, got {array!r:.80}.")
    ranges = encoder.ranges_
    if ranges is not None and (
        ranges.shape != (2, n_numbers)
        or ranges.dtype != np.float64
        or not (np.isfinite(ranges).all() and (ranges[0] <= ranges[1]).all())
    ):
        raise ValueError(f"ranges_ must be the lowest and highest of {n_numbers} numbers, got {ranges!r:.80}.")
    if not (encoder.scales_ > 0).all() or not set(encoder.indicated_) <= set(range(len(encoder.numeric_))):
        raise ValueError("scales_ must be positive, and indicated_ places of numeric columns.")
    if type(encoder._indexes) is not dict or encoder._indexes:
        raise ValueError("_indexes must be an empty dict.")
    _check_groups(encoder.code_groups_, len(encoder.categorical_))
    for _, fields, codes in encoder.histories_:
        _check_fields_of_items(fields, codes, len(encoder.categorical_))


def _check_vocabulary(vocabulary):
    if not isinstance(vocabulary, np.ndarray):
        check_integer("a number of hash buckets", vocabulary, 1)
    elif vocabulary.ndim != 1 or vocabulary.dtype.kind not in "iuO" or not pd.Index(vocabulary).is_unique:
        raise ValueError(f"a vocabulary must be distinct categories, got {vocabulary!r:.80}.")


def _check_fields_of_items(fields, codes, n_categorical):
    """Raise unless each code of the items of histories, -1 for the ids, has a field of the candidate."""
    if type(fields) is not list or type(codes) is not list or not fields or len(fields) != len(codes):
        raise ValueError(f"histories_ must have a field for each code, got {fields!r:.80} and {codes!r:.80}.")
    for field, code in zip(fields, codes, strict=True):
        if check_integer("a field of histories_", field, 0) >= n_categorical:
            raise ValueError(f"histories_ must have fields below {n_categorical}, got {field}.")
        if check_integer("a code of histories_", code, -1) >= _MOST_COLUMNS:
            raise ValueError(f"histories_ must have codes below {_MOST_COLUMNS}, got {code}.")


def _check_groups(groups, n_fields):
    """Raise unless `groups` are slices of fields, one after the other."""
    bounds = [bound for group in groups for bound in (group.start, group.stop)]
    if not all(type(bound) is int for bound in bounds) or any(group.step is not None for group in groups):
        raise ValueError(f"groups must be slices of fields, got {groups!r:.80}.")
    if bounds != sorted(bounds) or (bounds and not 0 <= bounds[0] <= bounds[-1] <= n_fields):
        raise ValueError(f"groups must lie within the {n_fields} fields, one after the other, got {groups!r:.80}.")


def _check_classifier(classifier):
    encoder, fields, architecture = classifier.encoder_, classifier.fields_, classifier._architecture
    if classifier.classes_.shape != (2,) or classifier.n_features_in_ != len(encoder.names_):
        raise ValueError(f"classes_ must be two and n_features_in_ {len(encoder.names_)}, got {classifier.classes_!r}.")
    names = (*classifier._architecture_parameters, *classifier._architecture_constants)
    check_architecture(architecture, names, of_later_versions=classifier._later_architecture)
    check_option("adapter_norm", architecture.get("adapter_norm"), NORMS)
    if fields.shapes != encoder.shapes:
        raise ValueError("fields_ must have the shapes of encoder_.")
    _check_groups(fields.fusion_groups, fields.shapes.n_fields)
    check_number("base_logit", fields.base_logit, -np.inf)
    for name in ("scale", "shift"):
        check_number(name, classifier.calibration_[name], -np.inf)
    width = check_integer("embedding_dim", architecture["embedding_dim"], 1)
    # Before the module: sets without weights of their own are built without any that could be counted.
    if (
        check_integer("n_embedding_sets", architecture["n_embedding_sets"], 1) * width
        > classifier.state_["embedding.table"].shape[1]
    ):
        raise ValueError("embedding_dim and n_embedding_sets must be those of state_, got larger ones.")
    check_state(classifier)
    _pass_one_row(classifier)


def _check_recommender(recommender):
    ids, codes, clicks = recommender.items_, recommender.codes_, recommender.clicks_
    architecture, n_items = recommender._architecture, len(recommender.items_)
    check_architecture(architecture, recommender._architecture_parameters)
    check_sizes(recommender.codebook_sizes_)
    if ids.ndim != 1 or not n_items or not pd.Index(ids).is_unique:
        raise ValueError("items_ must be distinct ids.")
    if codes.dtype != np.int64 or len(check_codes(codes, recommender.codebook_sizes_)) != n_items:
        raise ValueError(f"codes_ must be {n_items} rows of int64, got {codes.shape} of {codes.dtype}.")
    if clicks.dtype != np.int64 or clicks.shape != (n_items,) or clicks.min() < 0:
        raise ValueError(f"clicks_ must be {n_items} counts, got {clicks.shape} of {clicks.dtype}.")
    encoder = recommender.encoder_
    if encoder is not None and not (
        isinstance(encoder, SemanticIDEncoder) and np.array_equal(encoder.ids_, ids) and (encoder.codes_ == codes).all()
    ):
        raise ValueError("encoder_ must be None, or have the ids and codes of items_.")
    if not isinstance(recommender.log_, ClickHistory):
        raise TypeError(f"log_ must be a ClickHistory, got {type(recommender.log_).__name__}.")
    check_option("head", architecture["head"], ("parallel", "residual", "popularity"))
    if architecture["head"] != "popularity":
        check_state(recommender)
    on_cpu(recommender).recommend([[], ids[:1].tolist()], n=1)


def _pass_one_row(estimator):
    """Raise if a row such as `estimator` was fitted on does not pass through."""
    row = None if any(map(_needs_a_model, parts_of(estimator))) else example_row(estimator)
    if row is None:
        return
    twin = _all_on_cpu(estimator)
    # Only pandas tables can carry them; who set that for all estimators at once may have done it elsewhere.
    with config_context(transform_output="pandas" if _carries_histories(estimator) else None):
        result = np.asarray((getattr(twin, "predict_proba", None) or twin.transform)(row))
    if result.ndim != 2 or len(result) != len(row):
        raise ValueError(f"{type(estimator).__name__} must return a row for a row, got the shape {result.shape}.")


def _all_on_cpu(estimator):
    """Return a copy that computes on the CPU, as do the estimators in it."""
    twin = on_cpu(estimator)
    if isinstance(twin, Pipeline):
        twin.steps = [(name, _step_on_cpu(step)) for name, step in twin.steps]
    elif isinstance(twin, ColumnTransformer):
        if twin.n_jobs is not None and check_integer("n_jobs", twin.n_jobs, -_MOST_COLUMNS) == 0:
            raise ValueError("n_jobs must not be 0.")
        twin.n_jobs = None  # as many processes as somebody has asked for, for one row
        twin.transformers_ = [(name, _step_on_cpu(step), columns) for name, step, columns in twin.transformers_]
    return twin


def _step_on_cpu(step):
    return _all_on_cpu(step) if hasattr(step, "get_params") else step


def _carries_histories(estimator):
    return any(isinstance(part, SemanticIDEncoder) and part._histories() for part in parts_of(estimator))
