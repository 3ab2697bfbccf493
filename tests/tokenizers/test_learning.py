"""What the options of the learned tokenizers do."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import normalized_mutual_info_score
from sklearn.pipeline import Pipeline

from semid.engine._autoencoder_training import train_quantized_autoencoder
from semid.engine._codebook_updates import update_prices
from semid.exceptions import CollapseWarning
from semid.metrics import codebook_perplexity, collision_rate, reconstruction_r2
from semid.nn._quantizers import Codebook
from semid.tokenizers import (
    MixtureOfCodesTokenizer,
    ParallelKMeansTokenizer,
    ResidualKMeansTokenizer,
    RQVAETokenizer,
    UniqueTokenizer,
    presets,
)


def _rq_vae(**parameters):
    settings = {"n_codebooks": 2, "codebook_size": 16, "latent_dim": 8, "hidden_layer_sizes": (32,), "max_iter": 10}
    settings["batch_size"] = 32
    return RQVAETokenizer(**settings | {"random_state": 0} | parameters)


def _moc(**parameters):
    settings = {"n_codebooks": 4, "codebook_size": 8, "latent_dim": 8, "hidden_layer_sizes": (32,), "max_iter": 10}
    settings["batch_size"] = 32
    return MixtureOfCodesTokenizer(**settings | {"random_state": 0} | parameters)


def test_prices_spread_a_crowd_over_the_codes():
    generator = torch.Generator().manual_seed(0)
    crowd = 0.1 * torch.randn(900, 2, generator=generator)
    x = torch.cat([crowd, 3 * torch.randn(100, 2, generator=generator)])
    codebook = Codebook(8, 2)
    codebook.code_vectors.data = x[-8:].clone()
    before = codebook_perplexity(codebook(x)[:, None].numpy())[0]
    for _ in range(300):
        update_prices(codebook, x, torch.ones(1000))
    assert before < 4
    assert codebook_perplexity(codebook(x)[:, None].numpy())[0] > 7
    assert float(codebook.prices.sum()) == pytest.approx(0, abs=1e-4)


def test_balanced_codes_are_used_more_evenly(items, rng):
    crowd_and_outliers = items.embeddings * np.exp(0.7 * rng.standard_normal((300, 1)))
    plain, balanced = (_rq_vae(assignment=how, max_iter=40).fit(crowd_and_outliers) for how in ("nearest", "sinkhorn"))
    perplexities = [codebook_perplexity(model.transform(crowd_and_outliers)) for model in (plain, balanced)]
    assert (perplexities[1] > perplexities[0]).all()
    np.testing.assert_allclose(balanced.history_["perplexity"][-1], perplexities[1], rtol=0.2)


def test_separation_gives_more_items_codes_of_their_own(items):
    models = (_rq_vae(n_codebooks=3, max_iter=40, separation_weight=weight, mixup=0.0) for weight in (0.0, 50.0))
    rates = [collision_rate(model.fit_transform(items.embeddings)) for model in models]
    assert rates[1] < 0.75 * rates[0]


def test_alignment_brings_into_the_codes_what_reconstruction_would_leave_out(items, rng):
    groups = rng.integers(4, size=300)
    X = np.hstack([items.embeddings, np.eye(4)[groups]])
    alignment = np.eye(4)[groups] + 0.01 * rng.standard_normal((300, 4))
    alignment[:20] = np.nan  # items that nobody has used yet
    models = [_rq_vae(max_iter=60, alignment_weight=weight).fit(X, alignment=alignment) for weight in (0.0, 3.0)]
    shared = [normalized_mutual_info_score(model.transform(X)[:, 0], groups) for model in models]
    assert shared[1] > 2 * shared[0]


def test_alignment_of_another_length_is_refused_before_any_work(items):
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        _rq_vae().fit(items.embeddings, alignment=np.ones((3, 2)))


def test_early_stopping_keeps_the_best_epoch_on_held_out_items(items):
    tokenizer = _rq_vae(max_iter=200, learning_rate=5e-3, validation=0.1, n_iter_no_change=3)
    tokenizer.fit(items.embeddings)
    history = tokenizer.history_["validation_r2"]
    assert tokenizer.n_iter_ == len(history) < 200
    assert history[:-3].max() >= history[-3:].max() - 1e-4


def test_validation_is_the_share_that_is_held_out(items, monkeypatch):
    sizes = []

    def train(module, catalogue, *args, held_out, **kwargs):
        sizes.append((len(catalogue), held_out and len(held_out)))
        return train_quantized_autoencoder(module, catalogue, *args, held_out=held_out, **kwargs)

    monkeypatch.setattr("semid.tokenizers._autoencoder.train_quantized_autoencoder", train)
    for share in (0.1, 0.25, None):
        _rq_vae(validation=share, max_iter=1).fit(items.embeddings)
    assert sizes == [(270, 30), (225, 75), (300, None)]


def test_early_stopping_of_too_few_items_says_so():
    with pytest.raises(ValueError, match=r"validation must leave at least 2 distinct items .* leaves 1 of 2"):
        _rq_vae(validation=0.1, codebook_size=2).fit(np.eye(2))


def test_warm_start_goes_on_where_the_last_fit_ended(items):
    tokenizer = _rq_vae(warm_start=True, max_iter=5).fit(items.embeddings)
    first, codes = tokenizer.history_["loss"], tokenizer.transform(items.embeddings)
    cold = clone(tokenizer).set_params(random_state=1).fit_transform(items.embeddings)
    tokenizer.set_params(random_state=1).fit(items.embeddings)
    assert tokenizer.n_iter_ == 10
    np.testing.assert_array_equal(tokenizer.history_["loss"][:5], first)
    assert (tokenizer.transform(items.embeddings) == codes).mean() > 0.6
    assert (cold == codes).mean() < 0.2


def test_warm_start_with_another_shape_names_the_parameter(items):
    tokenizer = _rq_vae(warm_start=True, max_iter=1).fit(items.embeddings)
    codes = tokenizer.transform(items.embeddings)
    with pytest.raises(ValueError, match="latent_dim must stay 8 to go on from a fitted tokenizer, got 4"):
        tokenizer.set_params(latent_dim=4).fit(items.embeddings)
    with pytest.raises(ValueError, match="codebook_size must stay 16"):
        tokenizer.set_params(latent_dim=8, codebook_size=8).fit(items.embeddings)
    np.testing.assert_array_equal(tokenizer.transform(items.embeddings), codes)


def test_partial_fit_starts_goes_on_and_takes_new_items(items):
    tokenizer = _rq_vae()
    for _ in range(15):
        tokenizer.partial_fit(items.embeddings[:200])
    old = tokenizer.score(items.embeddings[200:])
    assert tokenizer.n_iter_ == 15
    for _ in range(15):
        tokenizer.partial_fit(items.embeddings[200:])
    assert tokenizer.score(items.embeddings[200:]) > old
    tokenizer.partial_fit(items.embeddings[:1])
    with pytest.raises(ValueError, match="features"):
        tokenizer.partial_fit(items.embeddings[:, :5])


def test_a_collapsed_codebook_is_named_with_its_remedy(rng):
    X = np.repeat(np.eye(3), 200, axis=0) + 1e-6 * rng.standard_normal((600, 3))
    with pytest.warns(CollapseWarning, match=r"codebook \d has collapsed: the items use .*assignment='sinkhorn'"):
        _rq_vae(
            n_codebooks=1, codebook_size=64, latent_dim=2, hidden_layer_sizes=(), max_iter=1, learning_rate=0.5
        ).fit(X)


@pytest.mark.parametrize("update", ["ema", "gradient"])
def test_every_way_of_learning_ends_about_as_well(items, update):
    tokenizer = _rq_vae(codebook_update=update, max_iter=30).fit(items.embeddings)
    assert tokenizer.score(items.embeddings) == pytest.approx(0.58, abs=0.04)


@pytest.mark.parametrize("name", presets.__all__)
def test_presets_are_unfitted_tokenizers_that_take_overrides(name, items):
    tokenizer = getattr(presets, name)(codebook_size=8, max_iter=1, batch_size=64, random_state=0)
    assert not hasattr(clone(tokenizer), "state_")
    last = tokenizer[-1] if isinstance(tokenizer, Pipeline) else tokenizer
    assert tokenizer.fit_transform(items.embeddings).shape == (300, last.n_codebooks)


def test_the_first_codes_reconstruct_without_the_others(items):
    for tokenizer in (_rq_vae(), ParallelKMeansTokenizer(3, 8, random_state=0)):
        codes = tokenizer.fit_transform(items.embeddings)
        assert reconstruction_r2(items.embeddings, tokenizer.inverse_transform(codes[:, :1])) > 0.1
    with pytest.raises(ValueError, match="codes must have shape"):
        tokenizer.inverse_transform(codes[:, :0])


def test_separation_acts_in_a_single_epoch(items):
    states = [_rq_vae(separation_weight=weight).partial_fit(items.embeddings).state_ for weight in (0.0, 100.0)]
    assert any((states[0][name] != states[1][name]).any() for name in states[0])


def test_prices_stay_finite_where_all_code_vectors_are_equal():
    tokenizer = _rq_vae(assignment="sinkhorn", mixup=0.0, codebook_size=8).fit(np.eye(8))
    assert all(np.isfinite(array).all() for array in tokenizer.state_.values())


def test_alignment_does_not_depend_on_the_order_of_equal_embeddings(items, rng):
    X = np.vstack([items.embeddings[:100], items.embeddings[:50]])
    alignment = rng.standard_normal((150, 3))
    alignment[120:130] = np.nan
    order = rng.permutation(150)
    fits = [_rq_vae(alignment_weight=1.0).fit(X[rows], alignment=alignment[rows]) for rows in (np.arange(150), order)]
    np.testing.assert_array_equal(fits[0].transform(X), fits[1].transform(X))


def test_alignment_with_holes_is_refused(items):
    alignment = np.ones((300, 2))
    alignment[7, 1] = np.nan
    with pytest.raises(ValueError, match=r"alignment must have rows that are known or NaN as a whole.* row 7"):
        _rq_vae().fit(items.embeddings, alignment=alignment)


def test_warnings_point_at_the_users_line():
    with pytest.warns(UserWarning, match="is more than") as caught:
        _rq_vae(max_iter=1).fit(np.eye(5))
    assert caught[0].filename == __file__


@pytest.mark.parametrize("assignment", ["nearest", "sinkhorn"])
def test_where_norms_differ_much_the_remedy_of_a_collapse_is_to_scale_them_to_one_length(items, assignment):
    unit = items.embeddings / np.linalg.norm(items.embeddings, axis=1, keepdims=True)
    tokenizer = _rq_vae(n_codebooks=1, codebook_size=32, max_iter=5, assignment=assignment)
    with pytest.warns(
        CollapseWarning, match=r"norm, scale them to one length \(sklearn.preprocessing.normalize\); else"
    ):
        tokenizer.fit(unit * np.where(np.arange(300) % 10 == 0, 1000, 1)[:, None])
    tokenizer.fit(unit)  # and nothing is left to warn of


def test_what_history_holds_is_documented(tokenizer, items):
    if "validation" in tokenizer.get_params():
        tokenizer.set_params(validation=0.1, max_iter=2)
    tokenizer.fit(items.embeddings)
    described = type(tokenizer).__doc__.split("history_ : dict")[-1].split("n_iter_ : int")[0]
    assert [key for key in getattr(tokenizer, "history_", {}) if f"``{key}``" not in described] == []


def test_codes_asked_for_beside_a_fit_are_those_of_before(items, monkeypatch):
    tokenizer = RQVAETokenizer(codebook_size=8, hidden_layer_sizes=(16,), max_iter=2, random_state=0)
    X = items.embeddings
    before = tokenizer.fit(X).transform(X)
    learn, seen = RQVAETokenizer._learn, []

    def encoding_learn(*args, **kwargs):
        learn(*args, **kwargs)
        seen.append(tokenizer.transform(X))

    monkeypatch.setattr(RQVAETokenizer, "_learn", encoding_learn)
    for _ in range(5):
        tokenizer.set_params(learning_rate=0.01).partial_fit(X)
    np.testing.assert_array_equal(seen[0], before)
    fresh = pickle.loads(pickle.dumps(tokenizer))
    np.testing.assert_array_equal(tokenizer.transform(X), fresh.transform(X))
    assert (tokenizer.transform(X) != before).any()


def test_what_is_set_during_a_fit_stays(items, monkeypatch):
    tokenizer = RQVAETokenizer(codebook_size=8, hidden_layer_sizes=(16,), max_iter=2, random_state=0)
    learn = RQVAETokenizer._learn

    def disturbed_learn(*args, **kwargs):
        learn(*args, **kwargs)
        tokenizer.set_params(verbose=True, codebook_size=16).note = "mine"

    monkeypatch.setattr(RQVAETokenizer, "_learn", disturbed_learn)
    tokenizer.fit(items.embeddings)
    assert (tokenizer.verbose, tokenizer.codebook_size, tokenizer.note) == (True, 16, "mine")
    assert tokenizer.codebook_sizes_ == [8, 8, 8]


@pytest.mark.parametrize("wrap", [lambda tokenizer: tokenizer, UniqueTokenizer], ids=["plain", "unique"])
def test_a_fit_that_ends_within_a_transform_does_not_mix_with_it(wrap, items, monkeypatch):
    tokenizer = wrap(ResidualKMeansTokenizer(2, 32, random_state=0))
    X = items.embeddings
    before = tokenizer.fit(X).transform(X).copy()
    check, pending = type(tokenizer)._check_embeddings, [X[:150]]

    def fitting_check(self, *args, **kwargs):
        if pending:
            tokenizer.fit(pending.pop())
        return check(self, *args, **kwargs)

    monkeypatch.setattr(type(tokenizer), "_check_embeddings", fitting_check)
    np.testing.assert_array_equal(tokenizer.transform(X), before)
