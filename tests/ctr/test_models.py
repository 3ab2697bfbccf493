"""Every click model against a loop, every fusion in every model, and what all classifiers share."""

import copy
from itertools import combinations
from typing import ClassVar

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    Freezer,
    GradientNormClipping,
    LRScheduler,
    PassthroughScoring,
)

from semid.base._live_module import LiveModule
from semid.ctr import (
    AutoIntClassifier,
    DCNv2Classifier,
    DeepFMClassifier,
    DeepIMClassifier,
    FactorizationMachineClassifier,
    MLPCTRClassifier,
    _predicting,
)
from semid.ctr._modules import Fields
from semid.datasets import make_clicks
from semid.nn._fields import FieldShapes
from semid.nn._fusions import FUSIONS

FIELDS = ["user_id", "item_id", "hour"]
UNCHANGING = {"learning_rate": 1e-12, "forgetting": 0.0}
SMALL = {"embedding_dim": 4, "max_iter": 2, "random_state": 0}
CLASSIFIERS = [
    AutoIntClassifier(hidden_layer_sizes=(8,), attention_dim=8, n_attention_layers=2, **SMALL),
    DCNv2Classifier(hidden_layer_sizes=(8,), **SMALL),
    DCNv2Classifier(hidden_layer_sizes=(8,), low_rank=2, **SMALL),
    DeepFMClassifier(hidden_layer_sizes=(8,), **SMALL),
    DeepIMClassifier(hidden_layer_sizes=(8,), **SMALL),
    FactorizationMachineClassifier(**SMALL),
    MLPCTRClassifier(hidden_layer_sizes=(8,), **SMALL),
]


@pytest.fixture(
    params=CLASSIFIERS, ids=lambda c: type(c).__name__ + ("" if getattr(c, "low_rank", 0) in (0, None) else "-low-rank")
)
def model(request):
    return clone(request.param)


def _module(model, fusion="concat", **architecture):
    """The module of `model`, of random weights, for three categorical fields, the last two codes, and a number."""
    shapes = FieldShapes(vocabulary_sizes=(4, 5, 6), n_numeric=1)
    model.fields_ = Fields(shapes, (slice(1, 3),), None, -0.7)
    model._architecture = {name: getattr(model, name) for name in model._architecture_parameters}
    model._architecture |= {**model._architecture_constants, "fusion": fusion, "fusion_rank": 2, **architecture}
    module = model._build_module()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
    return module.eval()


INPUTS = torch.tensor([[3, 2, 0], [0, 1, 5]]), torch.tensor([[0.5], [-2.0]])


def _embedded(module, row, width):
    """Embeddings, (F, d), and the sum of first-order weights of a row, looked up one by one."""
    categories, numbers = INPUTS[0][row].tolist(), INPUTS[1][row]
    table = module.embedding.table
    rows = [table[first + c] for first, c in zip([0, 4, 9], categories, strict=True)]
    rows += [numbers[0] * module.embedding.numeric[0]]
    e = torch.stack(rows)
    return e[:, :width], e[:, width:].sum()


def _mlp(module, x):
    for layer in module:
        x = layer(x)
    return x


def _naive_deepfm(body, e):
    pairs = sum((e[f] * e[g]).sum() for f, g in combinations(range(len(e)), 2))
    return pairs + (body.head.weight[0] * _mlp(body.mlp, e.flatten())).sum()


def _naive_deepim(body, e):
    terms = [
        sum(torch.stack([e[f] for f in subset]).prod(0) for subset in combinations(range(len(e)), order))
        for order in range(1, 5)
    ]
    return body.head.weight[0] @ torch.cat([*terms, _mlp(body.mlp, e.flatten())])


def _naive_dcnv2(body, e):
    x0 = x = e.flatten()
    for layer in body.interaction.layers:
        x = x0 * (layer.weight @ x + layer.bias) + x
    return body.head.weight[0] @ torch.cat([x, _mlp(body.mlp, x0)])


def _naive_autoint(body, e):
    x = e
    for layer in body.interaction.layers:
        heads = []
        q, k, v = (x @ project.weight.T for project in (layer.query, layer.key, layer.value))
        for columns in torch.arange(q.shape[1]).chunk(layer.n_heads):
            attended = []
            for f in range(len(e)):
                scores = torch.stack([q[f, columns] @ k[g, columns] for g in range(len(e))]) / len(columns) ** 0.5
                shares = scores.exp() / scores.exp().sum()
                attended.append(sum(share * v[g, columns] for g, share in enumerate(shares)))
            heads.append(torch.stack(attended))
        x = torch.relu(torch.cat(heads, dim=1) + layer.residual(x))
    return body.head.weight[0] @ torch.cat([x.flatten(), _mlp(body.mlp, e.flatten())])


def _naive_fm(body, e):
    return sum((e[f] * e[g]).sum() for f, g in combinations(range(len(e)), 2))


def _naive_mlp(body, e):
    return (body.head.weight[0] * _mlp(body.mlp, e.flatten())).sum()


NAIVE = {
    "AutoIntClassifier": _naive_autoint,
    "DCNv2Classifier": _naive_dcnv2,
    "DeepFMClassifier": _naive_deepfm,
    "DeepIMClassifier": _naive_deepim,
    "FactorizationMachineClassifier": _naive_fm,
    "MLPCTRClassifier": _naive_mlp,
}


@pytest.mark.parametrize("index", [0, 1, 3, 4, 5, 6])
def test_logits_equal_the_naive_loop(index):
    classifier = clone(CLASSIFIERS[index])
    module = _module(classifier)
    logits = module(*INPUTS)
    for row in range(2):
        e, first_order = _embedded(module, row, classifier.embedding_dim)
        expected = module.bias + first_order + NAIVE[type(classifier).__name__](module.body, e)
        torch.testing.assert_close(logits[row], expected)


@pytest.mark.parametrize(("structure", "n_experts"), [("parallel", 4), ("stacked", 2)])  # the second as in 0.1.0
def test_low_rank_dcnv2_equals_its_formula(structure, n_experts):
    module = _module(clone(CLASSIFIERS[2]), structure=structure, n_experts=n_experts)
    body = module.body
    cross = body.interaction if structure == "parallel" else body.cross
    for row in range(2):
        e, _ = _embedded(module, row, 4)
        x0 = x = e.flatten()
        for layer in cross.layers:
            gates = (cross.gates.weight @ x).softmax(0)
            experts = [
                x0 * (layer.up[i].T @ torch.tanh(layer.core[i].T @ torch.tanh(layer.down[i].T @ x)) + layer.bias)
                for i in range(n_experts)
            ]
            x = sum(g * expert for g, expert in zip(gates, experts, strict=True)) + x
        hidden = torch.cat([x, _mlp(body.mlp, x0)]) if structure == "parallel" else _mlp(body.mlp, x)
        torch.testing.assert_close(module(*INPUTS)[row], module.bias + body.head.weight[0] @ hidden)


@pytest.mark.parametrize(
    ("classifier", "expected"),
    [
        # Rows of the table 4 + 5 + 6, and one embedding of the number; F·d = 32 into an MLP 7-5. FuxiCTR 2.3.7 counts
        # the same for four categorical fields, and one bias more for all but DCNv2 (its parts each have one).
        (DeepFMClassifier(), (16 * 8 + 16) + (32 * 7 + 7 + 7 * 5 + 5 + 5) + 1),
        (DeepIMClassifier(), 16 * 8 + (32 * 7 + 7 + 7 * 5 + 5 + 5) + 4 * 8 + 1),
        (DCNv2Classifier(), 16 * 8 + (32 * 7 + 7 + 7 * 5 + 5 + 5) + 3 * (32 * 32 + 32) + 32 + 1),
        (
            AutoIntClassifier(),
            16 * 8 + (32 * 7 + 7 + 7 * 5 + 5 + 5) + (4 * 8 * 32 + 2 * 3 * 32 * 32) + 4 * 32 + 1,
        ),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "fit") else "",
)
def test_parameter_counts(classifier, expected):
    classifier.set_params(embedding_dim=8, hidden_layer_sizes=(7, 5))
    assert sum(p.numel() for p in _module(classifier).parameters()) == expected


@pytest.mark.parametrize("fusion", FUSIONS)
def test_the_fusion_reaches_every_branch(model, fusion):
    # With the other branch off, zeroing the fusion's output must still move the logit.
    for branch in ("interaction", "mlp"):
        module = _module(model, fusion)
        head = getattr(module.body, "head", None)
        if head is not None:
            with torch.no_grad():
                n_deep = 8 if hasattr(module.body, "interaction") else head.weight.shape[1]
                start = head.weight.shape[1] - n_deep
                if branch == "interaction" and (start or hasattr(module.body, "pairs")):
                    head.weight[:, start:] = 0
                elif branch == "mlp":
                    head.weight[:, :start] = 0
        if branch == "mlp" and hasattr(module.body, "pairs") and head is not None:
            module.body.pairs.register_forward_hook(lambda module, inputs, output: 0 * output)
        before = module(*INPUTS)
        module.fusions[0].fusions[0].register_forward_hook(lambda module, inputs, output: 0 * output)
        assert (module(*INPUTS) != before).all()


@pytest.mark.parametrize("index", [0, 1, 3, 4, 6])
def test_several_embedding_sets_equal_the_naive_mean(index):
    classifier = clone(CLASSIFIERS[index])
    module = _module(classifier, n_embedding_sets=3, hidden_layer_sizes=(6, 5))
    assert module.embedding.table.shape[1] == 12 + module.embedding.table.shape[1] % 4
    body = module.body
    for row in range(2):
        e, first_order = _embedded(module, row, 12)
        hidden = 0
        for s in range(3):
            e_s = e[:, 4 * s : 4 * s + 4]
            interaction = body.interactions[s](e_s[None])[0]
            hidden = hidden + _mlp(body.first_layers[s], torch.cat([interaction, e_s.flatten()])) / 3
        expected = module.bias + first_order + (body.head.weight[0] * _mlp(body.mlp, hidden)).sum()
        torch.testing.assert_close(module(*INPUTS)[row], expected)


def test_it_learns_more_than_the_mean(model, clicks):
    train, test = clicks[:3000], clicks[3000:]
    model.set_params(embedding_dim=16, max_iter=8, validation=None)
    if hasattr(model, "hidden_layer_sizes"):
        model.hidden_layer_sizes = (64, 32) if model.hidden_layer_sizes else ()
    model.fit(train[FIELDS], train["click"])
    assert roc_auc_score(test["click"], model.predict_proba(test[FIELDS])[:, 1]) > 0.6


def test_predictions_do_not_mind_autocast(model, clicks):
    X = clicks[FIELDS]
    probabilities = model.fit(X, clicks["click"]).predict_proba(X)
    with torch.autocast("cpu", torch.bfloat16):
        np.testing.assert_array_equal(model.predict_proba(X), probabilities)


def test_equal_probabilities_after_reload(model, clicks, tmp_path):
    model.fit(clicks[FIELDS], clicks["click"])
    joblib.dump(model, tmp_path / "model.joblib")
    expected = model.predict_proba(clicks[FIELDS])
    np.testing.assert_array_equal(joblib.load(tmp_path / "model.joblib").predict_proba(clicks[FIELDS]), expected)


@pytest.mark.parametrize("labels", [(0, 1), ("no", "yes")])
def test_scikit_learns_tools_take_it(model, clicks, labels):
    X, y = clicks[FIELDS][:600], np.array(labels)[clicks["click"][:600]]
    model.set_params(max_iter=1)
    calibrated = CalibratedClassifierCV(model, cv=2).fit(X, y)
    assert calibrated.predict_proba(X).shape == (600, 2)
    search = GridSearchCV(make_pipeline(FunctionTransformer(), model), {}, scoring="roc_auc", cv=2).fit(X, y)
    assert search.predict(X).dtype == y.dtype
    importance = permutation_importance(search.best_estimator_, X, y, n_repeats=1, random_state=0)
    assert importance.importances_mean.shape == (3,)
    stack = StackingClassifier([("ctr", model), ("again", clone(model))], LogisticRegression(), cv=2).fit(X, y)
    assert set(stack.predict(X)) <= set(labels)


def test_weights_equal_repetition_to_the_last_digits(model, clicks, monkeypatch):
    monkeypatch.setattr(type(model), "_dtype", torch.float64)
    data = clicks[:200].assign(price=np.linspace(0, 1, 200))
    X, y, weights = data[[*FIELDS, "price"]], data["click"].to_numpy(), np.arange(200) % 4
    repeated = np.repeat(np.arange(200), weights)
    model.set_params(validation=None, batch_size=1000, max_iter=5)
    weighted = clone(model).fit(X, y, sample_weight=weights).predict_proba(X)
    listed = clone(model).fit(X.iloc[repeated], y[repeated]).predict_proba(X)
    np.testing.assert_allclose(weighted, listed, rtol=1e-9)


def test_class_weight_is_a_weight_per_row(clicks):
    X, y = clicks[FIELDS], clicks["click"].to_numpy()
    model = DeepFMClassifier(hidden_layer_sizes=(8,), **SMALL)
    by_class = clone(model).set_params(class_weight={0: 1.0, 1: 3.0}).fit(X, y).predict_proba(X)
    by_row = clone(model).fit(X, y, sample_weight=np.where(y == 1, 3.0, 1.0)).predict_proba(X)
    np.testing.assert_array_equal(by_class, by_row)
    assert clone(model).set_params(class_weight="balanced").fit(X, y).state_["bias"] != model.fit(X, y).state_["bias"]


def test_the_representation_is_the_fused_embeddings_of_the_codes(monkeypatch):
    monkeypatch.setattr(_predicting, "_PREDICT_ROWS", 7)  # in several parts
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"item_code0": rng.integers(5, size=40), "user": 0, "item_code1": rng.integers(4, size=40)})
    model = DeepFMClassifier(hidden_layer_sizes=(8,), n_embedding_sets=2, **SMALL).fit(X, rng.integers(2, size=40))
    module = model._build_module()
    module.load_state_dict({name: torch.tensor(array) for name, array in model.state_.items()})
    encoded = model.encoder_.encode(X)
    sets, _ = module.embed(torch.as_tensor(encoded.categories).long(), torch.empty(40, 0))
    expected = torch.cat([e[:, 1:].flatten(1) for e in sets], dim=1)  # codes are the last fields
    torch.testing.assert_close(torch.as_tensor(model.representation(X)), expected)
    user = torch.cat([e[:, 0] for e in sets], dim=1)
    torch.testing.assert_close(torch.as_tensor(model.representation(X, columns=["user"])), user)
    with pytest.raises(ValueError, match="columns must name columns to represent, got none"):
        model.representation(X, columns=[])
    with pytest.raises(TypeError, match=r"columns must be None or a list of columns, got 'user'; pass \['user'\]"):
        model.representation(X, columns="user")
    model.fit(X[["user"]], rng.integers(2, size=40))
    with pytest.raises(ValueError, match="columns must name columns to represent, got None for a model without codes"):
        model.representation(X[["user"]])


def test_an_eval_set_takes_the_place_of_the_held_out_part(clicks):
    train, valid = clicks[:3000], clicks[3000:]
    model = DeepFMClassifier(hidden_layer_sizes=(8,), **SMALL).set_params(max_iter=1)
    model.fit(train[FIELDS], train["click"], eval_set=(valid[FIELDS], valid["click"]))
    auc = roc_auc_score(valid["click"], model.decision_function(valid[FIELDS]))
    np.testing.assert_allclose(model.history_["valid_auc"][0], auc, atol=1e-6)
    with pytest.raises(ValueError, match="eval_set must be left out with validation=None"):
        model.set_params(validation=None).fit(train[FIELDS], train["click"], eval_set=(valid[FIELDS], [0]))
    with pytest.raises(ValueError, match=r"y must hold the labels \[0, 1\], as before, got \[2\]"):
        model.set_params(validation=0.1).fit(
            train[FIELDS], train["click"], eval_set=(valid[FIELDS], np.arange(1000) % 2 + 1)
        )


@pytest.mark.parametrize(
    ("eval_set", "error", "message"),
    [
        (lambda X, y: [(X, y)], ValueError, r"one tuple \(X, y\) or .*, got a list of 1 tuples"),
        (lambda X, y: [(X, y), (X, y)], ValueError, "got a list of 2 tuples"),
        (lambda X, y: X, ValueError, "got DataFrame"),
        (lambda X, y: (X, y * 0), ValueError, "^eval_set: y must hold two classes, got one class: 0"),
        (lambda X, y: (X[["hour"]], y), ValueError, "^eval_set: The feature names should match"),
        (lambda X, y: (X.assign(hour=0.5), y), ValueError, "^eval_set: column 'hour' is categorical"),
        (
            lambda X, y: (X.assign(hour=[[1]] * len(X)), y),
            TypeError,
            "^eval_set: column 'hour' must hold single values",
        ),
        (lambda X, y: (X, y, -y), ValueError, "^eval_set: sample_weight must be finite and not negative"),
    ],
)
def test_errors_of_an_eval_set_name_it(clicks, eval_set, error, message):
    X, y = clicks[FIELDS], clicks["click"]
    with pytest.raises(error, match=message):
        DeepFMClassifier(**SMALL).fit(X, y, eval_set=eval_set(X, y))


def test_ids_met_in_the_held_out_part_alone_are_learned_in_the_last_epoch(clicks):
    n = len(clicks)
    X = clicks[["hour"]].assign(user_id=np.arange(n), tags=[[f"tag {i:04d}"] for i in range(n)])  # each in one row
    model = DeepFMClassifier(hidden_layer_sizes=(8,), validation=0.1, **SMALL)
    model.fit(X, clicks["click"])
    table, (n_hours, n_users) = model.state_["embedding.table"], model.fields_.shapes.vocabulary_sizes
    assert table[n_hours + 2 :][:n].any(axis=1).all()
    assert table[n_hours + n_users + 2 :].any(axis=1).all()


def test_warm_start_without_a_held_out_part_forgets_the_calibration(clicks):
    X, y = clicks[FIELDS], clicks["click"]
    model = DeepFMClassifier(hidden_layer_sizes=(8,), warm_start=True, validation=0.1, **SMALL).fit(X, y)
    calibration = model.calibration_
    assert calibration["scale"] != 1
    assert model.partial_fit(X, y).calibration_ == calibration
    assert model.set_params(validation=None).fit(X, y).calibration_ == {"scale": 1.0, "shift": 0.0}


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_model_that_goes_on_must_have_the_same_columns(clicks, method):
    X, y = clicks[FIELDS], clicks["click"]
    model = DeepFMClassifier(hidden_layer_sizes=(8,), warm_start=True, **SMALL).fit(X, y)
    for other in (X[FIELDS[::-1]], X.assign(more=1), X[FIELDS[:2]]):
        with pytest.raises(ValueError, match=r"The feature names should (match|be in the same order)"):
            getattr(model, method)(other, y)
    assert model.feature_names_in_.tolist() == FIELDS
    array = X[["user_id", "hour"]].to_numpy()
    model = clone(model).fit(array, y)
    with pytest.raises(ValueError, match="X has 1 features, but DeepFMClassifier is expecting 2 features"):
        getattr(model, method)(array[:, :1], y)


@pytest.mark.parametrize(
    ("name", "value", "was"),
    [
        ("embedding_dim", 32, 4),
        ("hidden_layer_sizes", (64,), r"\(8,\)"),
        ("fusion", "residual", "'gate'"),
        ("n_embedding_sets", 2, 1),
        ("vector_fields", 2, 1),
        ("categorical_features", ["user_id"], "'auto'"),
        ("code_features", None, "'auto'"),
        ("vector_features", None, "'auto'"),
        ("min_frequency", 9, 1),
        ("n_cross_layers", 2, 3),
        ("low_rank", 4, None),
    ],
)
def test_a_model_that_goes_on_must_be_built_alike(clicks, name, value, was):
    X, y = clicks[FIELDS][:200], clicks["click"][:200]
    model = DCNv2Classifier(hidden_layer_sizes=(8,), **SMALL).fit(X, y)
    message = rf"^{name} must stay {was}, as in the first fit, got .*; {{}} to begin anew.$"
    with pytest.raises(ValueError, match=message.format("call fit")):
        clone(model).fit(X, y).set_params(**{name: value}).partial_fit(X, y)
    model.set_params(warm_start=True, **{name: value})
    with pytest.raises(ValueError, match=message.format("set warm_start=False")):
        model.fit(X, y)


def test_parameters_that_are_written_otherwise_are_unchanged(clicks):
    X, y = clicks[FIELDS][:200], clicks["click"][:200]
    model = DeepFMClassifier(hidden_layer_sizes=(8,), warm_start=True, categorical_features=FIELDS, **SMALL).fit(X, y)
    model.set_params(hidden_layer_sizes=[8], embedding_dim=np.int64(4), categorical_features=np.array(FIELDS))
    before = {name: array.shape for name, array in model.state_.items()}
    model.set_params(min_frequency=np.int64(1)).fit(X, y).partial_fit(X, y)
    assert {name: array.shape for name, array in model.state_.items()} == before


def test_dropout_may_change_when_a_model_goes_on(clicks):
    X, y = clicks[FIELDS][:500], clicks["click"][:500]
    model = DeepFMClassifier(hidden_layer_sizes=(8, 6), warm_start=True, **SMALL)
    before = model.fit(X, y).predict_proba(X)
    # With a learning rate of nothing, the weights found their place among the new layers.
    np.testing.assert_allclose(
        model.set_params(dropout=0.5, **UNCHANGING).fit(X, y).predict_proba(X), before, atol=1e-5
    )
    np.testing.assert_allclose(model.set_params(dropout=0.0).partial_fit(X, y).predict_proba(X), before, atol=1e-5)
    other = clone(model).set_params(learning_rate=0.01, dropout=0.0).fit(X, y)
    same = clone(other).fit(X, y)
    other.set_params(dropout=0.5).fit(X, y)
    assert (other.predict_proba(X) != same.fit(X, y).predict_proba(X)).any()


def test_warm_start_goes_on_and_new_ids_get_rows(model, clicks):
    first, second = clicks[:2000], clicks[2000:]
    model.set_params(warm_start=True, validation=None).fit(first[FIELDS], first["click"])
    known = {f: v.copy() for f, v in enumerate(model.encoder_.vocabularies_)}
    sizes = model.fields_.shapes.vocabulary_sizes
    model.set_params(**UNCHANGING)
    before = model.predict_proba(first[FIELDS])
    model.fit(second[FIELDS], second["click"])
    for field, vocabulary in known.items():
        np.testing.assert_array_equal(model.encoder_.vocabularies_[field][: len(vocabulary)], vocabulary)
    assert sum(model.fields_.shapes.vocabulary_sizes) > sum(sizes)
    # With a learning rate of nothing, what was known predicts as before.
    np.testing.assert_allclose(model.predict_proba(first[FIELDS]), before, atol=1e-5)


def test_partial_fit_learns_batch_by_batch(items):
    clicks = make_clicks(items, n_impressions=4000, n_users=20, affinity=3.0, random_state=0).frame
    model = DeepFMClassifier(random_state=0)
    with pytest.raises(ValueError, match=r"y must hold two classes"):
        clone(model).partial_fit(clicks[FIELDS][:50], np.ones(50))
    test = clicks[3000:]
    aucs = []
    for start in (0, 1000, 2000):
        part = clicks[start : start + 1000]
        for _ in range(5):
            model.partial_fit(part[FIELDS], part["click"], classes=[0, 1])
        aucs.append(roc_auc_score(test["click"], model.predict_proba(test[FIELDS])[:, 1]))
    assert aucs[-1] > max(aucs[0], 0.58)
    model.partial_fit(clicks[FIELDS][:5], [1] * 5)
    with pytest.raises(ValueError, match="as before"):
        model.partial_fit(clicks[FIELDS][:2], [1, 7])
    with pytest.raises(ValueError, match=r"classes must be \[0, 1\], as in the first call, got \['no', 'yes'\]"):
        model.partial_fit(clicks[FIELDS][:2], [1, 0], classes=["yes", "no"])
    with pytest.raises(ValueError, match="class_weight must be a dict or None in partial_fit, got 'balanced'"):
        model.set_params(class_weight="balanced").partial_fit(clicks[FIELDS][:2], [1, 0])


class CountsEpochs(Callback):
    calls: ClassVar = []  # of all copies
    batches: ClassVar = []

    def on_epoch_end(self, net, **kwargs):
        self.n_epochs_ = getattr(self, "n_epochs_", 0) + 1
        self.calls.append(self.n_epochs_)

    def on_batch_end(self, net, batch, training, **kwargs):
        self.batches.append(len(batch[2]))


def test_callbacks_are_copied_and_called(clicks):
    counter = CountsEpochs()
    scheduler = LRScheduler("StepLR", step_size=1, gamma=0.1)
    model = DeepFMClassifier(hidden_layer_sizes=(8,), callbacks=[counter, scheduler], **SMALL)
    model.fit(clicks[FIELDS], clicks["click"])
    assert CountsEpochs.calls == [1, 2]
    assert sum(CountsEpochs.batches) == 2 * 0.9 * len(clicks)
    assert not hasattr(counter, "n_epochs_")
    plain = clone(model).set_params(callbacks=()).fit(clicks[FIELDS], clicks["click"])
    assert (plain.predict_proba(clicks[FIELDS]) != model.predict_proba(clicks[FIELDS])).any()
    with pytest.raises(TypeError, match="callbacks must be a list of skorch callbacks"):
        DeepFMClassifier(callbacks=["early"]).fit(clicks[FIELDS], clicks["click"])


@pytest.mark.parametrize("validation", [0.1, None])
def test_early_stopping_of_skorch_ends_the_fit(clicks, validation):
    stop = EarlyStopping(monitor="train_loss", patience=2, threshold=0.9)
    model = DeepFMClassifier(hidden_layer_sizes=(8,), validation=validation, callbacks=[stop], random_state=0)
    model.set_params(n_iter_no_change=9).fit(clicks[FIELDS], clicks["click"])
    assert model.n_iter_ == 3
    plain = clone(model).set_params(callbacks=(), max_iter=3).fit(clicks[FIELDS], clicks["click"])
    np.testing.assert_array_equal(plain.predict_proba(clicks[FIELDS]), model.predict_proba(clicks[FIELDS]))


class ClipsByHand(Callback):
    """Divides all gradients of a step by as much as their norm is too long."""

    norms: ClassVar = []

    def __init__(self, longest):
        self.longest = longest

    def on_grad_computed(self, net, named_parameters, **kwargs):
        gradients = [p.grad for _, p in named_parameters if p.grad is not None]
        norm = sum(gradient.square().sum() for gradient in gradients).sqrt().item()
        self.norms.append(norm)
        for gradient in gradients:
            gradient *= min(1.0, self.longest / (norm + 1e-6))  # torch's way not to divide by zero


class NotesNorms(ClipsByHand):
    norms: ClassVar = []


def test_a_callback_clips_all_gradients(clicks, monkeypatch):
    monkeypatch.setattr(DeepFMClassifier, "_dtype", torch.float64)
    ClipsByHand.norms.clear()
    NotesNorms.norms.clear()
    X, y = clicks[FIELDS], clicks["click"]
    model = DeepFMClassifier(hidden_layer_sizes=(8,), validation=None, **SMALL)
    clipped = clone(model).set_params(callbacks=[GradientNormClipping(0.01), NotesNorms(1e9)]).fit(X, y)
    by_hand = clone(model).set_params(callbacks=[ClipsByHand(0.01)]).fit(X, y)
    assert min(ClipsByHand.norms) > 0.01
    np.testing.assert_allclose(NotesNorms.norms, 0.01, rtol=1e-3)
    plain = clone(model).fit(X, y)
    for name, array in by_hand.state_.items():
        np.testing.assert_allclose(clipped.state_[name], array, rtol=1e-6, atol=1e-12)
    assert np.abs(clipped.state_["bias"] - plain.state_["bias"]) > 1e-3


def test_a_callback_freezes_the_embeddings(clicks):
    X, y = clicks[FIELDS], clicks["click"]
    model = DeepFMClassifier(hidden_layer_sizes=(8,), validation=None, **SMALL)
    start = clone(model).set_params(max_iter=1, **UNCHANGING).fit(X, y)
    frozen = clone(model).set_params(callbacks=[Freezer("embedding.table")]).fit(X, y)
    np.testing.assert_allclose(frozen.state_["embedding.table"], start.state_["embedding.table"], atol=1e-6)
    assert (frozen.state_["body.mlp.0.weight"] != start.state_["body.mlp.0.weight"]).any()


def test_embeddings_frozen_later_are_those_that_the_network_trains_on(clicks, monkeypatch):
    X, y = clicks[FIELDS], clicks["click"]
    model = DeepFMClassifier(hidden_layer_sizes=(8,), validation=None, **SMALL)
    with monkeypatch.context() as patch:
        patch.setattr(DeepFMClassifier, "_averaged_epochs", 0)
        last = clone(model).set_params(max_iter=1).fit(X, y)
    frozen = clone(model).set_params(callbacks=[Freezer("embedding.table", at=2)], max_iter=3).fit(X, y)
    np.testing.assert_allclose(frozen.state_["embedding.table"], last.state_["embedding.table"], atol=1e-6)


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (EpochScoring("roc_auc"), "must not score with skorch's predictions, got EpochScoring.*net.score_held_out"),
        (BatchScoring("roc_auc"), "must not score with skorch's predictions, got BatchScoring"),
        (PassthroughScoring("train_loss"), "must not score with skorch's predictions, got PassthroughScoring"),
        (EarlyStopping(load_best=True), r"must not load weights at the end.*got EarlyStopping\(load_best=True\)"),
        (Checkpoint(load_best=True), "must not load weights at the end.*validation=0.1 keeps the best epoch"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_callbacks_that_cannot_act_are_refused(clicks, callback, message):
    with pytest.raises(ValueError, match=message):
        DeepFMClassifier(callbacks=[callback]).fit(clicks[FIELDS], clicks["click"])


class ScoresAsItLikes(Callback):
    aucs: ClassVar = []

    def on_epoch_end(self, net, dataset_valid, **kwargs):
        y, logits, weights = net.score_held_out(dataset_valid)
        self.aucs.append(roc_auc_score(y, logits, sample_weight=weights))


def test_a_callback_may_score_as_it_is_told_to(clicks):
    ScoresAsItLikes.aucs.clear()
    model = DeepFMClassifier(hidden_layer_sizes=(8,), callbacks=[ScoresAsItLikes()], **SMALL)
    model.fit(clicks[FIELDS], clicks["click"])
    assert ScoresAsItLikes.aucs == model.history_["valid_auc"].tolist()


def test_the_mean_prediction_is_the_rate_of_rare_clicks():
    rng = np.random.default_rng(1)
    X = pd.DataFrame({"user": rng.integers(20, size=60_000)})
    y = (np.arange(60_000) % 1000 == 0).astype(int)
    model = FactorizationMachineClassifier(validation=None, max_iter=12, batch_size=2048, random_state=0)
    np.testing.assert_allclose(model.fit(X, y).predict_proba(X)[:, 1].mean(), 0.001, rtol=0.1)


def test_numpy_integers_are_batch_sizes(clicks):
    X, y = clicks[FIELDS], clicks["click"]
    model = DeepFMClassifier(hidden_layer_sizes=(8,), batch_size=100, **SMALL).fit(X, y)
    by_numpy = clone(model).set_params(batch_size=np.int64(100)).fit(X, y)
    np.testing.assert_array_equal(by_numpy.predict_proba(X), model.predict_proba(X))


def test_a_subclass_needs_no_docstring():
    class Mine(DeepFMClassifier):
        pass

    assert Mine.__doc__ is None


class Halved(torch.nn.Module):
    def __init__(self, n_codes, dim, rank):
        super().__init__()

    def forward(self, e):
        return e / 2


class Summed(Halved):
    def forward(self, e):
        return e.sum(1)


def test_a_fusion_of_ones_own_and_its_scope(clicks):
    X = clicks[FIELDS].assign(code0=clicks["hour"] % 4, code1=clicks["hour"] % 3)
    model = DeepFMClassifier(hidden_layer_sizes=(8,), fusion=Halved, **SMALL).fit(X, clicks["click"])
    assert model.fields_.fusion_groups == (slice(3, 5),)
    everywhere = clone(model).set_params(code_features=list(X.columns)).fit(X, clicks["click"])
    assert everywhere.fields_.fusion_groups == (slice(0, 5),)
    assert (model.predict_proba(X) != everywhere.predict_proba(X)).any()
    with pytest.raises(ValueError, match=r"fusion must map embeddings of shape \(2, 2, 4\).* Summed gave \(2, 4\)"):
        clone(model).set_params(fusion=Summed).fit(X, clicks["click"])


class Normed(Halved):
    def __init__(self, n_codes, dim, rank):
        super().__init__(n_codes, dim, rank)
        self.norm = torch.nn.BatchNorm1d(n_codes * dim)

    def forward(self, e):
        return self.norm(e.flatten(1)).view_as(e)


def test_a_fusion_of_ones_own_predicts_with_the_statistics_that_it_learned(clicks):
    X = clicks[FIELDS].assign(code0=clicks["hour"] % 4, code1=clicks["hour"] % 3)
    model = DeepFMClassifier(hidden_layer_sizes=(8,), fusion=Normed, **SMALL).fit(X, clicks["click"])
    assert (model.state_["fusions.0.fusions.0.norm.running_var"] < 0.9).all()


def test_what_fuses_nothing_is_refused(clicks):
    X, y = clicks[FIELDS], clicks["click"]
    model = DeepFMClassifier(hidden_layer_sizes=(8,), fusion=Halved, **SMALL)
    with pytest.raises(ValueError, match="fusion must be left out where there is nothing to fuse, got Halved and no"):
        model.fit(X, y)
    assert model.set_params(code_features=FIELDS).fit(X, y).fields_.fusion_groups == (slice(0, 3),)


def test_a_fusion_by_name_says_nothing_without_codes(clicks, recwarn):
    DeepFMClassifier(hidden_layer_sizes=(8,), **SMALL).fit(clicks[FIELDS], clicks["click"])
    assert not recwarn.list


def test_lists_vectors_and_gaps_go_through_fit_and_predict(model, clicks, items):
    rng = np.random.default_rng(0)
    rows = rng.integers(len(items.embeddings), size=500)
    vectors = pd.DataFrame(items.embeddings[rows]).add_prefix("emb_").astype(np.float64)
    X = pd.concat([clicks[FIELDS][:500].reset_index(drop=True), vectors], axis=1)
    X["genres"] = [[["a", "b"], [], None, ["c"]][i % 4] for i in range(500)]
    X["price"] = np.where(rng.uniform(size=500) < 0.2, np.nan, rng.normal(size=500))
    model.set_params(vector_fields=2).fit(X, clicks["click"][:500])
    assert model.fields_.shapes.n_fields == 3 + 1 + 2 + 2
    probabilities = model.predict_proba(X)
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(model.predict_proba(X[7:8])[0], probabilities[7], atol=1e-6)


@pytest.mark.parametrize("model", [AutoIntClassifier, DCNv2Classifier, DeepFMClassifier, DeepIMClassifier])
def test_a_few_vectors_far_out_leave_what_the_others_say(model):
    rng = np.random.default_rng(0)
    vectors, slope = rng.standard_normal((400, 32)), rng.standard_normal(32) / 3
    items = rng.integers(len(vectors), size=6000)
    y = (rng.random(len(items)) < 1 / (1 + np.exp(-vectors[items] @ slope))).astype(int)
    is_far = rng.random(len(vectors)) < 0.03
    near = ~is_far[items[4500:]]

    def auc_of_the_others(vectors):
        X = pd.DataFrame(vectors[items]).add_prefix("item_vector_")
        fitted = model(max_iter=4, learning_rate=0.012, vector_fields=3, random_state=0).fit(X[:4500], y[:4500])
        return roc_auc_score(y[4500:][near], fitted.predict_proba(X[4500:][near])[:, 1])

    # Without the norm of the adapter it loses .09 to .19.
    assert auc_of_the_others(np.where(is_far[:, None], 400 * vectors, vectors)) > auc_of_the_others(vectors) - 0.02


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (DeepIMClassifier(interaction_order=6), "interaction_order must be at most 5, got 6"),
        (AutoIntClassifier(attention_dim=7), "attention_dim must be even, for two heads, got 7"),
        (AutoIntClassifier(attention_dim=0), "attention_dim must be at least 1"),
        (DCNv2Classifier(n_cross_layers=0), "n_cross_layers must be at least 1"),
        (DCNv2Classifier(low_rank=0), "low_rank must be at least 1"),
        (DeepFMClassifier(n_embedding_sets=2, hidden_layer_sizes=()), "hidden_layer_sizes must not be empty"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_bad_parameters_are_refused(model, message, clicks):
    with pytest.raises(ValueError, match=message):
        model.fit(clicks[FIELDS], clicks["click"])


@pytest.mark.parametrize("model", [FactorizationMachineClassifier, DeepIMClassifier, DeepFMClassifier])
def test_a_huge_number_leaves_no_noise_of_rounding(model, clicks):
    rng = np.random.default_rng(0)
    X = clicks[FIELDS][:500].assign(price=rng.lognormal(3, 1, 500))
    fitted = model(max_iter=3, random_state=0).fit(X, clicks["click"][:500])
    asked = X[:200].assign(price=[9_999_999.0, -1e9, 1e30, 3e5] * 50)
    exact = copy.copy(fitted)
    exact._dtype, exact._live = torch.float64, LiveModule()
    np.testing.assert_allclose(fitted.predict_proba(asked), exact.predict_proba(asked), atol=1e-5)
    highest = X["price"].max() * 2 - X["price"].min()
    at_the_end = fitted.predict_proba(asked[:1].assign(price=highest))
    np.testing.assert_allclose(fitted.predict_proba(asked[:1]), at_the_end, atol=1e-6)


def test_a_model_that_knows_no_ranges_predicts_as_before(clicks):
    X = clicks[FIELDS][:500].assign(price=np.random.default_rng(0).normal(size=500))
    fitted = DeepFMClassifier(hidden_layer_sizes=(8,), **SMALL).fit(X, clicks["click"][:500])
    older = copy.deepcopy(fitted)
    del older.encoder_.ranges_
    np.testing.assert_array_equal(older.predict_proba(X), fitted.predict_proba(X))
    assert np.isfinite(older.partial_fit(X, clicks["click"][:500]).predict_proba(X)).all()


def test_a_model_of_integer_users_says_so_when_it_is_asked_for_them_as_text():
    X = pd.DataFrame({"user_id": np.arange(60) % 6, "item_id": np.arange(60) % 5})
    y = X["user_id"].to_numpy() % 2
    model = DeepFMClassifier(max_iter=1, random_state=0).fit(X, y)
    said = "no value of column 'user_id' is known: ids like '0', where the model has ids like 0"
    with pytest.warns(UserWarning, match=said):
        model.predict_proba(X.astype({"user_id": str}))
    with pytest.warns(UserWarning, match=said):
        model.fit(X, y, eval_set=(X.astype({"user_id": str}), y))
