"""DeepFM against a loop, and the classifier around it."""

import inspect
import warnings
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from semid.base._live_module import LiveModule
from semid.ctr import DeepFMClassifier, _base
from semid.ctr._deepfm import DeepFM
from semid.ctr._holding_out import _stratified_share
from semid.engine import _click_training
from semid.engine._click_training import _calibrate
from semid.nn._click_rates import FieldEntries, click_rates

FIELDS = ["user_id", "item_id", "hour"]


def test_the_bias_starts_at_the_log_odds_of_the_base_rate(clicks):
    y = (np.arange(len(clicks)) % 5 == 0).astype(int)
    model = DeepFMClassifier(max_iter=1, learning_rate=1e-12, validation=None, random_state=0)
    model.fit(clicks[FIELDS], y)
    np.testing.assert_allclose(model.state_["bias"], np.log(0.2 / 0.8), rtol=1e-5)
    np.testing.assert_allclose(model.predict_proba(clicks[FIELDS])[:, 1].mean(), 0.2, atol=0.02)


def test_it_learns_more_than_the_mean(clicks):
    train, test = clicks[:3000], clicks[3000:]
    model = DeepFMClassifier(random_state=0, max_iter=5).fit(train[FIELDS], train["click"])
    assert roc_auc_score(test["click"], model.predict_proba(test[FIELDS])[:, 1]) > 0.6


@pytest.mark.parametrize("labels", [("no", "yes"), (1, 2), (-1, 1), (False, True), (0.0, 1.0)])
def test_any_two_labels(classifier, clicks, labels):
    y = np.array(labels)[clicks["click"]]
    model = classifier.fit(clicks[FIELDS], y)
    assert model.classes_.tolist() == sorted(labels)
    assert set(model.predict(clicks[FIELDS])) <= set(labels)
    reference = clone(classifier).fit(clicks[FIELDS], clicks["click"])
    np.testing.assert_array_equal(model.predict_proba(clicks[FIELDS]), reference.predict_proba(clicks[FIELDS]))


def test_probabilities_are_the_sigmoid_of_the_decision(classifier, clicks):
    model = classifier.fit(clicks[FIELDS], clicks["click"])
    logits = model.decision_function(clicks[FIELDS]).astype(float)
    probabilities = model.predict_proba(clicks[FIELDS])
    np.testing.assert_allclose(probabilities[:, 1], 1 / (1 + np.exp(-logits)), rtol=1e-5)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(model.predict(clicks[FIELDS]), (logits > 0).astype(int))


def test_zero_weights_are_rows_left_out(classifier, clicks):
    weights = (np.arange(len(clicks)) % 3 > 0).astype(float)
    kept = clicks[weights > 0]
    weighted = clone(classifier).fit(clicks[FIELDS], clicks["click"], sample_weight=weights)
    subset = clone(classifier).fit(kept[FIELDS], kept["click"])
    np.testing.assert_array_equal(weighted.predict_proba(clicks[FIELDS]), subset.predict_proba(clicks[FIELDS]))


def test_unknown_values_at_predict_time_score_as_nothing_known(classifier, clicks):
    model = classifier.fit(clicks[FIELDS], clicks["click"])
    nobody = pd.DataFrame({"user_id": [-5], "item_id": ["none such"], "hour": [99]})
    module = model._live.get(model._build_module, model.state_, torch.device("cpu"))
    output = model.state_["bias"] + module.body.head(module.body.mlp(torch.zeros(1, 12))).item()
    expected = model.calibration_["scale"] * output + model.calibration_["shift"]
    np.testing.assert_allclose(model.decision_function(nobody), expected, rtol=1e-5)


def test_early_stopping_keeps_the_best_epoch(clicks):
    options = {"validation": 0.1, "n_iter_no_change": 2, "learning_rate": 0.05, "random_state": 0}
    train, held_out = clicks[:3500], (clicks[FIELDS][3500:], clicks["click"][3500:])
    model = DeepFMClassifier(max_iter=30, **options).fit(train[FIELDS], train["click"], eval_set=held_out)
    aucs = model.history_["valid_auc"]
    best = int(np.argmax(aucs))
    assert model.n_iter_ == len(aucs) == best + 1 + 2
    stopped_there = DeepFMClassifier(max_iter=best + 1, **options)
    stopped_there.fit(train[FIELDS], train["click"], eval_set=held_out)
    np.testing.assert_array_equal(model.predict_proba(clicks[FIELDS]), stopped_there.predict_proba(clicks[FIELDS]))


def test_early_stopping_is_automatic_past_a_thousand_rows(classifier, clicks):
    few = clicks[:1000]
    assert "valid_auc" not in classifier.fit(few[FIELDS], few["click"]).history_
    assert classifier.calibration_ == {"scale": 1.0, "shift": 0.0}
    assert "valid_auc" in classifier.fit(clicks[FIELDS], clicks["click"]).history_


def test_dropout_is_on_in_every_training_epoch_and_off_in_prediction(clicks, monkeypatch):
    # Seen in public zoos: evaluation mode from epoch 2 on when validation data are given.
    modes = []
    forward = DeepFM.forward

    def spy(self, *inputs):
        modes.append((self.training, torch.is_grad_enabled()))
        return forward(self, *inputs)

    monkeypatch.setattr(DeepFM, "forward", spy)
    model = DeepFMClassifier(dropout=0.5, validation=0.1, max_iter=3, random_state=0)
    model.fit(clicks[FIELDS], clicks["click"])
    assert all(training == has_gradient for training, has_gradient in modes)
    np.testing.assert_array_equal(model.predict_proba(clicks[FIELDS]), model.predict_proba(clicks[FIELDS]))


def test_same_seed_same_model_and_the_global_seed_is_left_alone(classifier, clicks):
    torch.manual_seed(1)
    first = classifier.fit(clicks[FIELDS], clicks["click"]).predict_proba(clicks[FIELDS])
    torch.manual_seed(2)
    expected_next = torch.rand(1)
    torch.manual_seed(2)
    second = clone(classifier).fit(clicks[FIELDS], clicks["click"]).predict_proba(clicks[FIELDS])
    np.testing.assert_array_equal(first, second)
    assert torch.rand(1) == expected_next


def test_equal_probabilities_after_reload_and_a_small_file(classifier, clicks, tmp_path):
    classifier.set_params(embedding_dim=32).fit(clicks[FIELDS], clicks["click"])
    probabilities = classifier.predict_proba(clicks[FIELDS])
    joblib.dump(classifier, tmp_path / "model.joblib")
    np.testing.assert_array_equal(joblib.load(tmp_path / "model.joblib").predict_proba(clicks[FIELDS]), probabilities)
    weights = sum(array.nbytes for array in classifier.state_.values())
    assert (tmp_path / "model.joblib").stat().st_size <= 1.3 * weights


def test_pipeline_grid_search_and_persistence_together(encoder, clicks, tmp_path):
    features = ColumnTransformer(
        [("codes", encoder, ["item_id"]), ("fields", "passthrough", FIELDS)], verbose_feature_names_out=False
    ).set_output(transform="pandas")
    model = Pipeline([("features", features), ("ctr", DeepFMClassifier(max_iter=2, random_state=0))])
    grid = {"features__codes__tokenizer__n_codebooks": [1, 3], "ctr__fusion": ["gate", "residual"]}
    search = GridSearchCV(model, grid, scoring="roc_auc", cv=2, n_jobs=2).fit(clicks[FIELDS], clicks["click"])
    assert search.best_score_ > 0.5
    best = search.best_estimator_
    n_codebooks = search.best_params_["features__codes__tokenizer__n_codebooks"]
    assert best["ctr"].fields_.fusion_groups == (slice(3, 3 + n_codebooks),)
    joblib.dump(best, tmp_path / "model.joblib")
    np.testing.assert_array_equal(
        joblib.load(tmp_path / "model.joblib").predict_proba(clicks[FIELDS]),
        best.predict_proba(clicks[FIELDS]),
    )


def test_code_columns_given_by_position_in_an_array(clicks):
    X = np.column_stack([clicks["user_id"], clicks["hour"], clicks["hour"] // 2]).astype(float)
    model = DeepFMClassifier(categorical_features=[0], code_features=[1, 2], max_iter=1).fit(X, clicks["click"])
    assert model.fields_.fusion_groups == (slice(1, 3),)
    assert model.fields_.shapes.n_numeric == 0


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"embedding_dim": 0}, ValueError, "embedding_dim must be at least 1, got 0"),
        (
            {"fusion": "nuclear"},
            ValueError,
            "fusion must be one of 'concat', 'sum', .*'attention', or a class of torch modules, got 'nuclear'",
        ),
        ({"min_frequency": 0}, ValueError, "min_frequency must be at least 1"),
        ({"dropout": 1.0}, ValueError, r"dropout must lie in \[0, 1\), got 1.0"),
        ({"max_iter": 0}, ValueError, "max_iter must be at least 1"),
        ({"batch_size": "huge"}, TypeError, "batch_size must be an integer, got 'huge'"),
        ({"learning_rate": -1}, ValueError, "learning_rate must lie in"),
        ({"forgetting": -1}, ValueError, "forgetting must lie in"),
        (
            {"validation": "random"},
            ValueError,
            "validation must be a share of .*, 'auto', 'last' or None, got 'random'",
        ),
        ({"validation": 1.0}, ValueError, r"validation must lie in \(0, 1\), got 1.0"),
        ({"validation": True}, TypeError, "validation must be a number, got True"),
        ({"n_iter_no_change": 0}, ValueError, "n_iter_no_change must be at least 1"),
        ({"device": "abacus"}, ValueError, "device must be 'auto'"),
        ({"code_features": "some"}, ValueError, "code_features must be 'auto', None"),
    ],
)
def test_bad_parameters_are_refused(clicks, parameters, error, message):
    with pytest.raises(error, match=message):
        DeepFMClassifier(**parameters).fit(clicks[FIELDS], clicks["click"])


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.zeros(4000), "y must hold two classes, got one class: 0.0. Use more rows"),
        (np.arange(4000) % 3, "Only binary classification is supported.* 3 classes"),
        (np.linspace(0, 1, 4000), "Unknown label type: continuous"),
        (np.full(4000, np.nan), "Input y contains NaN or None: 4000 of 4000 labels"),
        (np.array(["yes", None] * 2000, dtype=object), "Input y contains NaN or None: 2000 of 4000"),
        (np.zeros(10), "inconsistent numbers of samples"),
        (None, "requires y to be passed"),
    ],
)
def test_bad_labels_are_refused(classifier, clicks, y, message):
    with pytest.raises(ValueError, match=message):
        classifier.fit(clicks[FIELDS], y)


def test_one_class_among_the_weighted_rows_is_refused(classifier, clicks):
    with pytest.raises(ValueError, match="among the rows of positive weight, got one class: 1"):
        classifier.fit(clicks[FIELDS], clicks["click"], sample_weight=clicks["click"])
    with pytest.raises(ValueError, match="must not be zero for every row"):
        classifier.fit(clicks[FIELDS], clicks["click"], sample_weight=np.zeros(len(clicks)))


def test_too_few_rows_to_hold_out_are_told(clicks):
    X = clicks[FIELDS][:6]
    with pytest.raises(
        ValueError, match=r"validation=0\.1 must have at least 2 rows of each class.*Pass validation=None"
    ):
        DeepFMClassifier(validation=0.1, random_state=0).fit(X, [0, 0, 0, 0, 0, 1])


def test_other_columns_than_in_fit_are_refused(classifier, clicks):
    classifier.fit(clicks[FIELDS], clicks["click"])
    with pytest.raises(ValueError, match="feature names should match those that were passed during fit"):
        classifier.predict_proba(clicks[["user_id", "hour"]])
    with pytest.raises(NotFittedError, match="not fitted yet"):
        clone(classifier).predict_proba(clicks[FIELDS])
    with pytest.raises(ValueError, match="at least one row"):
        classifier.predict_proba(clicks[FIELDS][:0])


def test_parameters_set_after_fit_wait_for_the_next_fit(classifier, clicks, tmp_path):
    classifier.set_params(hidden_layer_sizes=[8]).fit(clicks[FIELDS], clicks["click"])
    probabilities = classifier.predict_proba(clicks[FIELDS])
    classifier.set_params(embedding_dim=9, hidden_layer_sizes=(3, 3), fusion="residual", min_frequency=5)
    joblib.dump(classifier, tmp_path / "model.joblib")
    np.testing.assert_array_equal(joblib.load(tmp_path / "model.joblib").predict_proba(clicks[FIELDS]), probabilities)


def test_verbose_shows_a_progress_bar_with_the_held_out_auc(classifier, clicks, capsys):
    classifier.set_params(verbose=True, validation=0.1).fit(clicks[FIELDS], clicks["click"])
    shown = capsys.readouterr().err
    assert f"valid_auc={classifier.history_['valid_auc'][-1]:.4f}" in shown


def test_a_fit_that_fails_or_is_interrupted_leaves_the_former_model(classifier, clicks, monkeypatch):
    X, y = clicks[FIELDS], clicks["click"]
    probabilities = classifier.fit(X, y).predict_proba(X)

    def interrupt(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(DeepFM, "forward", interrupt)
        classifier.fit(X[["hour"]], y)
    with pytest.raises(ValueError, match="Only binary"):
        classifier.fit(X[["hour"]], np.arange(len(y)) % 3)
    with pytest.raises(ValueError, match="sample_weight"):
        classifier.fit(X[["hour"]], y, sample_weight=np.zeros(len(y)))
    np.testing.assert_array_equal(classifier.predict_proba(X), probabilities)


def test_dropout_follows_the_seed_and_not_the_global_generator(clicks):
    X, y = clicks[FIELDS], clicks["click"]
    results = []
    for global_seed in (0, 1):
        torch.manual_seed(global_seed)
        expected_next = torch.rand(1, generator=torch.Generator().manual_seed(global_seed))
        results.append(DeepFMClassifier(dropout=0.5, max_iter=2, random_state=0).fit(X, y).predict_proba(X))
        assert torch.rand(1) == expected_next
    np.testing.assert_array_equal(*results)
    other = DeepFMClassifier(dropout=0.1, max_iter=2, random_state=0).fit(X, y).predict_proba(X)
    assert (results[0] != other).any()


def test_fits_in_threads_equal_those_alone(classifier, clicks):
    X, y = clicks[FIELDS][:500], clicks["click"][:500]
    alone = clone(classifier).fit(X, y).predict_proba(X)
    with ThreadPoolExecutor(4) as pool:
        for model in pool.map(lambda _: clone(classifier).fit(X, y), range(12)):
            np.testing.assert_array_equal(model.predict_proba(X), alone)


def test_weights_act_in_batches_of_one(clicks):
    X, y = clicks[FIELDS][:60], clicks["click"][:60]
    options = {"max_iter": 1, "batch_size": 1, "random_state": 0}
    plain = DeepFMClassifier(**options).fit(X, y)
    weighted = DeepFMClassifier(**options).fit(X, y, sample_weight=1 + 99 * (np.arange(60) % 2))
    assert (plain.predict_proba(X) != weighted.predict_proba(X)).any()


@pytest.mark.parametrize("factor", [1e300, 1e-60])
def test_the_scale_of_the_weights_does_not_matter(classifier, clicks, factor):
    X, y = clicks[FIELDS], clicks["click"]
    weights = 1.0 + np.arange(len(y)) % 3
    expected = clone(classifier).fit(X, y, sample_weight=weights).predict_proba(X)
    np.testing.assert_allclose(
        classifier.fit(X, y, sample_weight=weights * factor).predict_proba(X), expected, rtol=1e-4
    )


@pytest.mark.parametrize("validation", [0.1, None])
def test_divergence_is_an_error_that_names_the_learning_rate(clicks, validation):
    model = DeepFMClassifier(learning_rate=1e30, validation=validation, random_state=0)
    with pytest.raises(ValueError, match=r"training diverged in epoch \d: the loss is .* with learning_rate=1e\+30"):
        model.fit(clicks[FIELDS], clicks["click"])


def test_rare_clicks_do_not_fail_by_luck(clicks):
    many = pd.concat([clicks] * 3)[FIELDS]
    y = np.zeros(len(many), dtype=int)
    y[:25] = 1
    for seed in range(5):
        model = DeepFMClassifier(max_iter=1, random_state=seed).fit(many, y)
        assert "valid_auc" in model.history_
    y[4:] = 0
    assert "valid_auc" not in DeepFMClassifier(max_iter=1).fit(many, y).history_


def test_the_held_out_part_is_a_share_of_each_class():
    y = np.array([0] * 90 + [1] * 10)
    mask = _stratified_share(y, 0.2, False, np.random.RandomState(0))
    assert np.bincount(y[mask]).tolist() == [18, 2]
    assert np.flatnonzero(_stratified_share(y, 0.2, True, None)).tolist() == [*range(72, 90), 98, 99]


def test_ids_in_a_float_array_are_told(classifier, clicks):
    X = clicks[["user_id", "hour"]].to_numpy(dtype=float)
    with pytest.warns(UserWarning, match=r"its columns \[0, 1\] hold whole numbers as floats.*set_output"):
        classifier.fit(X, clicks["click"])
    clone(classifier).set_params(categorical_features=None).fit(X, clicks["click"])
    clone(classifier).set_params(categorical_features=[0, 1]).fit(X, clicks["click"])


def test_ids_that_a_merge_made_floats_are_told(classifier, clicks):
    X = clicks[FIELDS].astype({"user_id": float, "hour": float})
    with pytest.warns(UserWarning, match=r"columns \['user_id'\] hold whole numbers as floats"):
        classifier.fit(X, clicks["click"])


def test_codes_that_lost_their_names_in_an_array_are_told(classifier, clicks, encoder):
    codes = encoder.fit_transform(clicks[["item_id"]])  # (n, n_codebooks)
    ids, y = clicks[["user_id", "item_id"]].to_numpy(dtype=object), clicks["click"]
    mixed = np.hstack([ids, codes.astype(object)])
    with pytest.warns(UserWarning, match="X is an array without column names, by which codes are found.*set_output"):
        assert classifier.fit(mixed, y).encoder_.code_groups_ == []
    positions = list(range(2, mixed.shape[1]))
    named = clone(classifier).set_params(code_features=positions).fit(mixed, y)
    assert named.encoder_.code_groups_ == [slice(2, mixed.shape[1])]
    frame = pd.DataFrame(mixed).infer_objects().set_axis([f"c{n}" for n in range(mixed.shape[1])], axis=1)
    for quiet, X in (({"code_features": None}, mixed), ({"fusion": "concat"}, mixed), ({}, frame)):
        clone(classifier).set_params(**quiet).fit(X, y)


def test_an_array_of_plain_ids_is_told_of_codes_only_where_a_fusion_was_asked_for(classifier, clicks):
    X, y = clicks[["user_id", "hour"]].to_numpy(), clicks["click"]
    classifier.fit(X, y)
    with pytest.warns(UserWarning, match="fusion='attention' mixes nothing"):
        clone(classifier).set_params(fusion="attention").fit(X, y)
    clone(classifier).set_params(fusion="attention", code_features=[0, 1]).fit(X, y)
    text = clicks[["item_id", "hour"]].to_numpy(dtype=object)  # one column of integers is no group of codes
    clone(classifier).fit(text, y)


def test_calibration_takes_back_what_is_too_sure_and_keeps_the_order(rng):
    logits = rng.normal(size=20_000)
    y = (rng.uniform(size=20_000) < 1 / (1 + np.exp(-logits))).astype(float)
    scale, shift = _calibrate(y, 5 * logits + 2, np.ones(20_000))
    np.testing.assert_allclose([scale, shift], [0.2, -0.4], atol=0.03)
    assert _calibrate(y, -logits, np.ones(20_000)).scale > 0


def test_probabilities_of_a_small_log_are_no_worse_than_the_base_rate(clicks):
    train, test = clicks[:3000], clicks[3000:]
    model = DeepFMClassifier(random_state=0).fit(train[FIELDS], train["click"])
    base = log_loss(test["click"], np.full(len(test), train["click"].mean()))
    assert log_loss(test["click"], model.predict_proba(test[FIELDS])[:, 1]) < base
    assert 0 < model.calibration_["scale"] < 1


@pytest.mark.parametrize("dtype", ["Int64", "boolean", "bool", "string", "category"])
def test_labels_of_pandas_dtypes_keep_their_kind(classifier, clicks, dtype):
    classifier.fit(clicks[FIELDS], clicks["click"].astype(dtype))
    kind = {"Int64": "i", "boolean": "b", "bool": "b", "string": "OU", "category": "i"}[dtype]
    assert classifier.classes_.dtype.kind in kind


def test_all_public_fitted_attributes_are_documented(classifier, clicks):
    fitted = vars(classifier.fit(clicks[FIELDS], clicks["click"]))
    names = [name for name in fitted if name.endswith("_") and not name.startswith("_")]
    assert {"encoder_", "fields_", "history_"} <= set(names)
    assert [name for name in names if f"\n{name} : " not in inspect.getdoc(DeepFMClassifier)] == []


@pytest.mark.parametrize("validation", [0.1, None])
def test_a_last_step_that_diverges_is_an_error_too(clicks, validation):
    """Of one step, whose own loss is that before it."""
    model = DeepFMClassifier(learning_rate=1e30, max_iter=1, batch_size=10**6, validation=validation, random_state=0)
    with pytest.raises(ValueError, match=r"training diverged in epoch 1: the .* is nan with learning_rate=1e\+30"):
        model.fit(clicks[FIELDS], clicks["click"])
    assert not hasattr(model, "state_")
    with pytest.raises(ValueError, match="training diverged in epoch 1"):
        model.set_params(validation=None).partial_fit(clicks[FIELDS], clicks["click"])


@pytest.mark.parametrize("n_lists", [0, 1])
def test_embeddings_of_what_was_held_out_alone_are_zero_until_they_are_trained(classifier, n_lists, rng):
    n, n_held_out = 2000, 2 * 40  # of each class, so few that no last epoch learns them
    X, y = pd.DataFrame({"user": np.arange(n)}), np.arange(n) % 2
    if n_lists:
        X["user"] = [[user] for user in X["user"]]
    classifier.set_params(validation=0.04).fit(X, y)
    table = classifier.state_["embedding.table"]
    assert (~table[2:].any(axis=1)).sum() == n_held_out  # beside missing and unknown
    classifier.partial_fit(X, y)
    assert classifier.state_["embedding.table"][2:].any(axis=1).all()


def test_predictions_beside_a_fit_are_those_of_before(classifier, clicks, monkeypatch):
    X, y = clicks[FIELDS], clicks["click"]
    more = X.assign(item_id=X["item_id"] + "-new")
    classifier.fit(X, y)
    expected = [classifier.predict_proba(X), classifier.predict_proba(more)]
    train, seen = _base.train_module, []

    def predicting_train(*args, **kwargs):
        classifier._live = LiveModule()  # built again beside the fit
        seen.extend([classifier.predict_proba(X), classifier.predict_proba(more)])
        result = train(*args, **kwargs)
        seen.extend([classifier.predict_proba(X), classifier.predict_proba(more)])
        return result

    monkeypatch.setattr(_base, "train_module", predicting_train)
    classifier.partial_fit(more, y)
    for probabilities, before in zip(seen, expected * 2, strict=True):
        np.testing.assert_array_equal(probabilities, before)
    assert (classifier.predict_proba(more) != expected[1]).any()


def test_docstrings_are_filled_in_whether_or_not_python_has_dedented_them():
    class Dedented(DeepFMClassifier):
        __doc__ = "A model.\n\nParameters\n----------\n{columns}\n"

    for kind in (Dedented, DeepFMClassifier):
        assert "{columns}" not in kind.__doc__
        assert "\nInteger, text, boolean and category columns are fields" in kind.__doc__


def test_a_column_without_any_value_does_not_look_like_ids(classifier, clicks):
    X = clicks[["item_id", "hour"]].assign(user_id=np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier.fit(X, clicks["click"])
    assert np.isfinite(classifier.predict_proba(X)).all()


def test_a_fit_that_learns_no_interactions_says_so():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"user_id": rng.integers(100, size=20_000), "item_id": rng.integers(100, size=20_000)})
    tastes, traits, appeal = rng.normal(size=(3, 100))
    logit = 2 * tastes[X["user_id"]] * traits[X["item_id"]] + appeal[X["item_id"]]
    y = rng.random(20_000) < 1 / (1 + np.exp(-logit))
    model = DeepFMClassifier(max_iter=10, hidden_layer_sizes=(16,), embedding_dim=4, random_state=0)
    at_zero = clone(model).set_params(forgetting=300.0, n_iter_no_change=3)  # embeddings do; first-order weights don't
    with pytest.warns(
        ConvergenceWarning, match=r"learned nothing beyond them in \d+ epochs.*such as codes of the items"
    ):
        at_zero.fit(X, y)
    with pytest.warns(ConvergenceWarning, match="learned less than them in .* Pass another learning_rate"):
        clone(model).set_params(learning_rate=1e-9, forgetting=0.0).fit(X, y)
    model.fit(X, y)  # a warning would be an error
    assert model.history_["valid_auc"].max() > model.history_["rates_auc"][0] + 0.03


@pytest.mark.parametrize(("fraction", "is_learned"), [(0.1, True), (0.04, False)])
def test_what_was_held_out_is_learned_in_a_last_epoch_unless_it_is_little(clicks, monkeypatch, fraction, is_learned):
    learned, learn = [], _click_training._learn_everything

    def noted(net, train, everything, calibration):
        learned.append(len(everything))
        return learn(net, train, everything, calibration)

    monkeypatch.setattr(_click_training, "_learn_everything", noted)
    model = DeepFMClassifier(max_iter=1, validation=fraction, random_state=0)
    model.fit(clicks[FIELDS], clicks["click"])
    assert learned == [len(clicks)] * is_learned


def test_rates_auc_is_that_of_click_rates_added_up_as_log_odds(clicks):
    train, held_out = clicks[:3500], clicks[3500:]
    model = DeepFMClassifier(max_iter=1, validation=0.1, random_state=0)
    model.fit(train[FIELDS], train["click"], eval_set=(held_out[FIELDS], held_out["click"]))
    vocabularies = [sorted(train[field].unique()) for field in FIELDS]
    numbers = [pd.Index(v).get_indexer(train[field]) for v, field in zip(vocabularies, FIELDS, strict=True)]
    rows, ones = torch.arange(3500), torch.ones(3500, dtype=torch.float64)
    y = torch.tensor(train["click"].to_numpy())
    part = SimpleNamespace(
        entries=lambda f: FieldEntries(torch.as_tensor(numbers[f]), rows, ones), labels_and_weights=lambda: (y, ones)
    )
    _, rates = click_rates([part], list(map(len, vocabularies)))
    total = np.zeros(500)
    for field, vocabulary, of_field in zip(FIELDS, vocabularies, rates, strict=True):
        total += (
            held_out[field].map(dict(zip(vocabulary, of_field.log_odds.tolist(), strict=True))).fillna(0).to_numpy()
        )
    expected = roc_auc_score(held_out["click"], total)
    np.testing.assert_allclose(model.history_["rates_auc"], [expected], atol=1e-6)
