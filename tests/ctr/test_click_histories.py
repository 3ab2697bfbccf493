"""Click models over histories of items: what their columns become, what the module makes of them, and the contract."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback

from semid.ctr import (
    AutoIntClassifier,
    DCNv2Classifier,
    DeepFMClassifier,
    DeepIMClassifier,
    DINClassifier,
    FactorizationMachineClassifier,
    MLPCTRClassifier,
    _predicting,
)
from semid.ctr._encoding import ImpressionEncoder
from semid.engine._checkpoints import fingerprint_of
from semid.engine._impressions import Impressions
from semid.io import load, save
from semid.tables._histories import HistoryArray, HistoryDtype

N_ITEMS, N_CODES = 12, 3
IDS = np.array([f"i{n}" for n in range(N_ITEMS + 2)])  # the last two are never candidates
CODES = np.random.default_rng(7).integers(4, size=(len(IDS), N_CODES))
CODES[3] = -1  # has none
SMALL = {"embedding_dim": 4, "max_iter": 2, "random_state": 0}
CLASSIFIERS = [
    AutoIntClassifier(hidden_layer_sizes=(8,), attention_dim=8, n_attention_layers=1, **SMALL),
    DCNv2Classifier(hidden_layer_sizes=(8,), **SMALL),
    DeepFMClassifier(hidden_layer_sizes=(8,), history_pooling="mean", **SMALL),
    DeepFMClassifier(hidden_layer_sizes=(8,), history_pooling="attention", **SMALL),
    DeepFMClassifier(hidden_layer_sizes=(8,), history_pooling="attention", n_embedding_sets=2, **SMALL),
    DeepFMClassifier(hidden_layer_sizes=(8,), code_features=["item", "item_code0"], fusion="residual", **SMALL),
    DeepIMClassifier(hidden_layer_sizes=(8,), history_pooling="attention", **SMALL),
    DINClassifier(hidden_layer_sizes=(8,), **SMALL),
    FactorizationMachineClassifier(history_pooling="attention", **SMALL),
    MLPCTRClassifier(hidden_layer_sizes=(8,), **SMALL),
]


def _name(model):
    changed = {"history_pooling": "attention", "n_embedding_sets": 1, "fusion": "gate"}
    parts = [str(getattr(model, name, default)) for name, default in changed.items()]
    return "-".join([type(model).__name__, *(p for p, d in zip(parts, changed.values(), strict=True) if p != str(d))])


@pytest.fixture(params=CLASSIFIERS, ids=_name)
def model(request):
    return clone(request.param)


def _histories(rng, n, *, codes=CODES, has_ids=True, item="item"):
    """Return histories of 0 to 6 entries, which overlap, out of 40."""
    starts = rng.integers(0, 34, size=n)
    entries = rng.integers(len(IDS), size=40).astype(np.int32)
    lengths = rng.integers(0, 7, size=n)
    return HistoryArray(entries, IDS, starts, starts + lengths, codes=codes, has_ids=has_ids, item=item)


def _impressions(n=60, seed=0, **options):
    rng = np.random.default_rng(seed)
    items = rng.integers(N_ITEMS, size=n)
    columns = {"user": rng.integers(6, size=n), "item": IDS[items]}
    columns |= {f"item_code{k}": CODES[items, k] for k in range(N_CODES)}
    X = pd.DataFrame(columns | {"price": rng.normal(size=n)})
    X["history"] = _histories(rng, n, **options)
    X["tags"] = [["a", "b"][: 1 + row % 2] for row in range(n)]
    return X, rng.integers(2, size=n)


def _encoder():
    return ImpressionEncoder("auto", "auto", "auto", 1, 1)


def _naive_categories(encoder, X, row):
    """Return the categories of each entry of a row's history, (n_entries, K), looked up one by one."""
    vocabularies = {
        encoder.names_[p]: v.tolist() for p, v in zip(encoder.categorical_, encoder.vocabularies_, strict=False)
    }
    found = []
    for item in X["history"].iloc[row]:
        values = {"item": item} | {f"item_code{k}": CODES[IDS.tolist().index(item), k] for k in range(N_CODES)}
        known = {name: vocabularies[name].index(v) + 2 if v in vocabularies[name] else 0 for name, v in values.items()}
        found.append([0 if values[name] == -1 else category for name, category in known.items()])
    return np.array(found).reshape(-1, 1 + N_CODES)


def _categories(history, row):
    return history.categories[history.entries[history.starts[row] : history.stops[row]]]


def test_items_of_histories_have_the_categories_of_candidates():
    X, _ = _impressions()
    encoder = _encoder()
    (history,) = encoder.fit_encode(X, np.ones(len(X))).histories
    assert encoder.shapes.histories[0].fields == tuple(
        encoder.field_of("columns", name) for name in ["item", "item_code0", "item_code1", "item_code2"]
    )
    assert encoder.shapes.n_fields == 5 + 1 + 4 + 1
    for row in range(len(X)):
        np.testing.assert_array_equal(_categories(history, row), _naive_categories(encoder, X, row))


def test_a_few_rows_are_encoded_as_in_their_table_and_at_their_own_cost():
    X, _ = _impressions()
    encoder = _encoder()
    (whole,) = encoder.fit_encode(X, np.ones(len(X))).histories
    (part,) = encoder.encode(X.iloc[[5, 9]]).histories
    assert len(part.entries) == len(X["history"].iloc[5]) + len(X["history"].iloc[9])
    for n, row in enumerate([5, 9]):
        np.testing.assert_array_equal(_categories(part, n), _categories(whole, row))


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({"codes": None}, ["item"]),
        ({"has_ids": False}, ["item_code0", "item_code1", "item_code2"]),
        ({"codes": CODES[:, :1]}, ["item", "item_code0"]),
    ],
)
def test_a_history_has_the_fields_that_it_and_the_candidate_have(options, fields):
    X, _ = _impressions(**options)
    encoder = _encoder()
    encoder.fit_encode(X, np.ones(len(X)))
    assert [encoder.names_[encoder.categorical_[field]] for field in encoder.shapes.histories[0].fields] == fields


def test_without_a_candidate_a_history_is_a_list_with_categories_of_its_own():
    X, _ = _impressions(codes=None, item=None)
    as_history, as_lists = _encoder(), _encoder()
    encoded = as_history.fit_encode(X, np.ones(len(X)))
    X["history"] = [list(entry) for entry in X["history"]]
    expected = as_lists.fit_encode(X, np.ones(len(X)))
    assert not encoded.histories
    for mine, its in zip(encoded.lists, expected.lists, strict=True):
        np.testing.assert_array_equal(mine.padded(6), its.padded(6))
    np.testing.assert_array_equal(as_history.vocabularies_[-2], as_lists.vocabularies_[-2])


def test_codes_of_histories_without_those_of_a_candidate_are_refused():
    X, y = _impressions(has_ids=False)
    message = "must stand beside the codes of a candidate, got 'history' and no columns item_code0"
    with pytest.raises(ValueError, match=message):
        MLPCTRClassifier().fit(X[["user", "history"]], y)


def test_a_column_that_is_no_longer_one_of_histories_or_of_codes_is_refused():
    X, y = _impressions()
    model = MLPCTRClassifier(hidden_layer_sizes=(8,), **SMALL).fit(X, y)
    with pytest.raises(TypeError, match="column 'history' must hold histories, as in fit, got object"):
        model.predict_proba(X.assign(history=X["history"].astype(object)))
    bare = X["history"].array.with_codes(CODES[:, :2], "item")
    with pytest.raises(ValueError, match="must hold histories with 3 codes, as in fit, got 2"):
        model.predict_proba(X.assign(history=bare))


def _fields(model, X):
    """Return the embeddings that the body of a fitted model is given, of each set, (n, F, d) float64."""
    module = model._build_module().double().eval()
    module.load_state_dict({name: torch.tensor(array) for name, array in model.state_.items()})
    encoded = model.encoder_.encode(X)
    part = Impressions(encoded, np.zeros(len(X)), np.ones(len(X)), "cpu", torch.float64)
    categories, numbers, *_ = part[torch.arange(len(X))]
    with torch.no_grad():
        return module, module.embed(categories, numbers)[0]


@pytest.mark.parametrize("fusion", ["concat", "gate", "residual"])
def test_pooled_fields_equal_the_loop_over_the_entries_of_each_history(fusion):
    X, y = _impressions()
    options = {"n_embedding_sets": 2, "fusion": fusion, "history_pooling": "mean"}
    model = DeepFMClassifier(hidden_layer_sizes=(8,), **options, **SMALL).fit(X, y)
    module, sets = _fields(model, X)
    encoder, d = model.encoder_, 4
    fields, first_rows = encoder.shapes.histories[0].fields, module.embedding.first_rows
    for n_set, e in enumerate(sets):
        table = module.embedding.table[:, n_set * d : (n_set + 1) * d]
        for row in range(len(X)):
            pooled = torch.zeros(4, d).double()
            of_row = _naive_categories(encoder, X, row)
            for entry in of_row:
                of_entry = torch.stack(
                    [
                        table[first_rows[f] + c] if c else torch.zeros(d).double()
                        for f, c in zip(fields, entry.tolist(), strict=True)
                    ]
                )
                fused = module.fusions[n_set].fusions[0](of_entry[None, 1:])[0]
                pooled += torch.cat([of_entry[:1], fused]) / len(of_row)
            torch.testing.assert_close(e[row, -4:], pooled)


def test_an_empty_history_is_zero_and_so_is_one_of_unknown_items():
    X, y = _impressions()
    model = DeepFMClassifier(hidden_layer_sizes=(8,), history_pooling="attention", **SMALL).fit(X, y)
    unknown = HistoryArray([0, 1], ["new", "newer"], [0, 2], [2, 2], codes=np.full((2, 3), -1), item="item")
    asked = X[:2].assign(history=unknown)
    _, (e,) = _fields(model, asked)
    assert not e[:, -4:].any()


def test_first_order_weights_are_those_of_the_candidate_alone():
    X, y = _impressions()
    model = DeepFMClassifier(hidden_layer_sizes=(8,), **SMALL).fit(X, y)
    module = model._build_module()
    with torch.no_grad():
        module.embedding.table[:, :-1], module.embedding.table[:, -1] = 0.0, 1.0
    encoded = model.encoder_.encode(X)
    part = Impressions(encoded, np.zeros(len(X)), np.ones(len(X)), "cpu", torch.float32)
    categories, numbers, *_ = part[torch.arange(len(X))]
    _, first_order = module.embed(categories, numbers)
    torch.testing.assert_close(first_order, torch.full((len(X),), 5.0 + 1.0))  # five fields and a list


def test_weights_equal_repetition_to_the_last_digits(model, monkeypatch):
    monkeypatch.setattr(type(model), "_dtype", torch.float64)
    X, y = _impressions(200)
    weights = np.arange(200) % 4
    repeated = np.repeat(np.arange(200), weights)
    model.set_params(validation=None, batch_size=1000, max_iter=5)
    weighted = clone(model).fit(X, y, sample_weight=weights).predict_proba(X)
    listed = clone(model).fit(X.iloc[repeated], y[repeated]).predict_proba(X)
    np.testing.assert_allclose(weighted, listed, rtol=1e-9)


def test_a_row_alone_has_the_probability_it_has_in_its_table(model, monkeypatch):
    X, y = _impressions()
    whole = model.fit(X, y).predict_proba(X)
    monkeypatch.setattr(_predicting, "_PREDICT_ROWS", 7)
    np.testing.assert_allclose(model.predict_proba(X), whole, atol=1e-6)
    np.testing.assert_allclose(model.predict_proba(X.iloc[[3]]), whole[[3]], atol=1e-6)


def test_the_history_is_learned_from(model):
    # A click where the candidate is in the history; nothing else says it.
    X, _ = _impressions(1000)
    y = np.array([item in history for item, history in zip(X["item"], X["history"], strict=True)], dtype=int)
    model.set_params(max_iter=12, embedding_dim=8, batch_size=50, learning_rate=0.02, validation=None)
    loss = model.fit(X.drop(columns=["user", "tags", "price"]), y).history_["train_loss"]
    alone = clone(model).fit(X[["item", "item_code0", "item_code1", "item_code2"]], y).history_["train_loss"]
    assert loss[-1] < alone[-1] - 0.1


def test_a_saved_model_gives_the_same_probabilities(model, tmp_path):
    X, y = _impressions()
    model.fit(X, y)
    save(model, tmp_path / "model")
    np.testing.assert_array_equal(load(tmp_path / "model").predict_proba(X), model.predict_proba(X))


def test_partial_fit_adds_the_items_that_have_become_candidates(model):
    X, y = _impressions()
    model.fit(X, y)
    new = X[:20].assign(item=IDS[-1])
    (before,) = model.encoder_.encode(new).histories
    model.partial_fit(new, y[:20])
    (after,) = model.encoder_.encode(new).histories
    rows = [row for row in range(20) if IDS[-1] in new["history"].iloc[row]]
    assert rows
    for row in rows:
        is_new = np.array(new["history"].iloc[row]) == IDS[-1]
        assert not _categories(before, row)[is_new, 0].any()
        assert _categories(after, row)[is_new, 0].all()
    assert np.isfinite(model.predict_proba(X)).all()


def test_a_model_without_histories_of_an_earlier_version_is_restored_and_goes_on():
    X, y = _impressions()
    X = X.drop(columns=["history"])
    model = DeepFMClassifier(hidden_layer_sizes=(8,), **SMALL).fit(X, y)
    expected = model.predict_proba(X)
    del model._architecture["history_pooling"], model.encoder_.histories_
    model._live = type(model._live)()
    np.testing.assert_array_equal(model.predict_proba(X), expected)
    assert np.isfinite(model.partial_fit(X, y).predict_proba(X)).all()


class Kill(Callback):
    """Raises MemoryError before the fourth epoch of a fit, once it is armed."""

    is_armed = False

    def on_epoch_begin(self, net, **kwargs):
        if Kill.is_armed and len(net.history) == 3:
            raise MemoryError


def test_a_killed_fit_goes_on_from_its_checkpoint_to_the_same_bits(tmp_path, monkeypatch):
    X, y = _impressions(200)
    model = DeepFMClassifier(hidden_layer_sizes=(8,), history_pooling="attention", callbacks=[Kill()], **SMALL)
    model.set_params(max_iter=4)
    whole = clone(model).fit(X, y)
    model.set_params(checkpoint_dir=tmp_path)
    monkeypatch.setattr(Kill, "is_armed", True)
    with pytest.raises(MemoryError):
        model.fit(X, y)
    monkeypatch.setattr(Kill, "is_armed", False)
    assert list(tmp_path.iterdir())
    np.testing.assert_array_equal(model.fit(X, y).predict_proba(X), whole.predict_proba(X))


def test_other_histories_are_another_fit(tmp_path):
    X, y = _impressions()
    model = DeepFMClassifier(hidden_layer_sizes=(8,), **SMALL).fit(X, y)
    prints = []
    for column in (X["history"].array, _histories(np.random.default_rng(5), len(X))):
        encoded = model.encoder_.encode(X.assign(history=column))
        part = Impressions(encoded, y, np.ones(len(y)), "cpu", torch.float32)
        prints.append(fingerprint_of(model, torch.device("cpu"), data=part.tensors(), start=()))
    assert prints[0] != prints[1]


def test_grid_search_and_early_stopping_take_histories():
    X, y = _impressions(400)
    model = DeepFMClassifier(hidden_layer_sizes=(8,), validation=0.1, **SMALL)
    search = GridSearchCV(model, {"history_pooling": ["mean", "attention"]}, cv=2, n_jobs=2, scoring="roc_auc")
    search.fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_the_yardstick_and_the_representation_are_those_of_the_candidate():
    X, y = _impressions(1200)
    options = {**SMALL, "validation": 0.1, "n_iter_no_change": 3}
    with_history = DeepFMClassifier(hidden_layer_sizes=(8,), **options).fit(X, y)
    without = DeepFMClassifier(hidden_layer_sizes=(8,), **options).fit(X.drop(columns=["history"]), y)
    np.testing.assert_allclose(with_history.history_["rates_auc"], without.history_["rates_auc"])
    assert with_history.representation(X[:5]).shape == (5, N_CODES * 4)
    other = X[:5].assign(history=X["history"].array[5:10])
    np.testing.assert_array_equal(with_history.representation(other), with_history.representation(X[:5]))


def test_a_column_of_histories_keeps_its_dtype_in_the_test():
    assert _impressions()[0]["history"].dtype == HistoryDtype("item")
