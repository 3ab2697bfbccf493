"""Reports of maps that were made with one fault each, and of one without."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq
from scipy.stats import entropy

from semid.datasets import make_items
from semid.features import interaction_embeddings
from semid.metrics import (
    codebook_gini,
    codebook_perplexity,
    codebook_usage,
    collision_rate,
    neighbor_overlap,
    prefix_collision_rates,
    reconstruction_r2,
    redundancy_matrix,
    tokenizer_report,
)
from semid.tokenizers import ResidualKMeansTokenizer, presets


def _distinct(rows, rng):
    """Redraw the second and later columns of rows that repeat another, until none does."""
    while True:
        _, first = np.unique(rows, axis=0, return_index=True)
        repeated = np.setdiff1d(np.arange(len(rows)), first)
        if len(repeated) == 0:
            return rows
        rows[repeated, 1:] = rng.integers(256, size=(len(repeated), rows.shape[1] - 1))


def _first_codes(n_items, n_used, perplexity, rng):
    """Codes of a power law that has this perplexity over `n_used` of 256 codes."""

    def shares(exponent):
        weights = np.arange(1, n_used + 1) ** -exponent
        return weights / weights.sum()

    exponent = brentq(lambda exponent: np.exp(entropy(shares(exponent))) - perplexity, 0, 5)
    counts = np.maximum(1, np.round(n_items * shares(exponent))).astype(int)
    codes = np.repeat(np.append(rng.permutation(255)[: n_used - 1], 255), counts)
    return rng.permutation(np.append(codes, np.full(max(0, n_items - len(codes)), codes[0]))[:n_items])


def _public_map(n_items, n_codebooks, n_used, perplexity, prefix_collisions, collisions, rng):
    """A map with the figures of a row of the table in shared/peers.md."""
    n_repeated, n_equal = round(prefix_collisions * n_items), round(collisions * n_items)
    n_distinct = n_items - n_repeated
    first = _first_codes(n_distinct, n_used, perplexity, rng)
    prefixes = _distinct(np.column_stack([first, rng.integers(256, size=(n_distinct, n_codebooks - 2))]), rng)
    last = rng.integers(256, size=n_distinct)
    donors = rng.permutation(n_distinct)[:n_repeated]
    last_of_repeated = (last[donors] + np.where(np.arange(n_repeated) < n_equal, 0, 1)) % 256
    return np.column_stack([np.append(prefixes, prefixes[donors], axis=0), np.append(last, last_of_repeated)])


@pytest.mark.parametrize(
    ("n_items", "n_codebooks", "n_used", "perplexity", "prefix_collisions", "collisions"),
    [
        pytest.param(12_101, 4, 197, 83, 0.0335, 0.00107, id="LETTER Beauty"),
        pytest.param(9_922, 4, 150, 72, 0.032, 0.0025, id="LETTER Instruments"),
        pytest.param(3_686, 3, 48, 41, 0.377, 0.0043, id="MiniOneRec Industrial"),
        pytest.param(3_459, 3, 88, 71, 0.281, 0.0043, id="MiniOneRec Office"),
    ],
)
def test_public_maps_are_told_that_their_first_codebook_is_uneven_and_their_last_hides_collisions(
    n_items, n_codebooks, n_used, perplexity, prefix_collisions, collisions, rng
):
    codes = _public_map(n_items, n_codebooks, n_used, perplexity, prefix_collisions, collisions, rng)
    report = tokenizer_report(codes)
    assert report.table.loc[0, "codes_used"] == n_used
    assert report.table.loc[0, "perplexity"] == pytest.approx(perplexity, rel=0.03)
    assert report.summary["prefix_collision_rate"] == pytest.approx(prefix_collisions, abs=1e-3)
    assert report.summary["collision_rate"] == pytest.approx(collisions, abs=1e-4)

    uneven, hidden = report.advice
    evenness = round(report.table.loc[0, "perplexity"])
    assert uneven.startswith(f"Codebook 0 uses {n_used} of 256 codes, as evenly as {evenness} would (perplexity")
    assert "assignment='sinkhorn'" in uneven
    assert "(The size is the largest code + 1: pass codebook_size if it is another.)" in uneven
    rate = f"{report.summary['prefix_collision_rate']:.2%}"
    assert hidden.startswith(f"The last codebook hides collisions: without it the collision rate is {rate}")


@pytest.fixture
def made(rng):
    """Codes that are even and distinct, and embeddings that are made of them."""
    codes = _distinct(rng.integers(16, size=(2_000, 4)), rng) % 16
    codes = np.unique(codes, axis=0)
    codebooks = rng.normal(size=(4, 16, 12)) * np.array([4, 2, 1, 0.5])[:, None, None]
    reconstruction = sum(codebook[code] for codebook, code in zip(codebooks, codes.T, strict=True))
    return codes, reconstruction + 0.1 * rng.normal(size=reconstruction.shape), reconstruction


def test_a_good_map_gets_no_advice(made):
    codes, X, reconstruction = made
    report = tokenizer_report(codes, X, reconstruction=reconstruction, codebook_size=16)
    assert report.advice == []
    assert "No findings." in str(report)
    assert "No findings." in report._repr_html_()


def test_the_table_and_the_summary_hold_the_figures_of_the_metrics(made):
    codes, X, reconstruction = made
    y = codes[:, 0] // 4
    report = tokenizer_report(codes, X, reconstruction=reconstruction, codebook_size=[16, 16, 16, 20], labels=y)
    table, summary = report.table, report.summary
    assert table.index.tolist() == [0, 1, 2, 3]
    assert table["codebook_size"].tolist() == [16, 16, 16, 20]
    np.testing.assert_allclose(table["usage"], codebook_usage(codes, [16, 16, 16, 20]))
    np.testing.assert_allclose(table["perplexity"], codebook_perplexity(codes))
    np.testing.assert_allclose(table["gini"], codebook_gini(codes, [16, 16, 16, 20]))
    np.testing.assert_allclose(table["prefix_collision_rate"], prefix_collision_rates(codes))
    others = [np.delete(row, n).mean() for n, row in enumerate(redundancy_matrix(codes))]
    np.testing.assert_allclose(table["redundancy"], others)
    np.testing.assert_allclose(table["redundancy_by_chance"], others, atol=0.02)  # these codes are random
    assert table["nmi_with_labels"].argmax() == 0
    assert summary["n_items"], summary["n_codebooks"] == codes.shape
    assert summary["collision_rate"] == summary["collision_rate_of_distinct"] == collision_rate(codes)
    assert summary["r2"] == reconstruction_r2(X, reconstruction)
    assert summary["neighbor_overlap"] == pytest.approx(neighbor_overlap(X, codes))  # all items are queries
    assert summary["neighbor_overlap_of_reconstruction"] == pytest.approx(neighbor_overlap(X, reconstruction))
    assert summary["neighbor_overlap_by_chance"] == 10 / (len(codes) - 1)
    json.dumps(summary)  # plain numbers


def test_rows_in_another_order_are_noticed(made, rng):
    codes, X, reconstruction = made
    order = rng.permutation(len(X))
    first, second = tokenizer_report(codes, X[order], reconstruction=reconstruction).advice
    assert first.startswith("The codes know nothing of X")
    assert second.startswith("The reconstruction is no better than the mean of X (R² -")


def test_items_that_collide_are_named_unless_their_embeddings_are_equal(made):
    codes, X, _ = made
    codes = np.append(codes, codes[5:45], axis=0)
    frame = pd.DataFrame(codes, columns=[f"code{n}" for n in range(4)]).assign(item_id=np.arange(len(codes)) + 70_000)
    (collisions,) = tokenizer_report(frame).advice
    assert collisions.startswith(f"Collisions: 40 of {len(codes):,} items add no row of codes")
    assert "such as 70005 and" in collisions
    assert "Pass X to see whether their embeddings differ" in collisions

    twice = np.append(X, X[5:45], axis=0)
    report = tokenizer_report(frame, twice)
    assert report.advice == []
    assert report.summary["collision_rate_of_distinct"] == 0 < report.summary["collision_rate"]

    (collisions,) = tokenizer_report(frame, np.append(X, X[5:45] + 0.01, axis=0)).advice
    assert "items, though their embeddings differ, add no row" in collisions


def _with_suffix(prefixes):
    suffixes = pd.DataFrame(prefixes).groupby(list(range(prefixes.shape[1]))).cumcount()
    return np.column_stack([prefixes, suffixes])


def test_a_last_codebook_that_only_tells_apart_is_named(rng):
    prefixes = _distinct(rng.integers(64, size=(3_000, 3)), rng) % 64
    prefixes[:150] = prefixes[150:300]
    codes = _with_suffix(prefixes)
    (suffix,) = tokenizer_report(codes, codebook_size=[64, 64, 64, 16]).advice
    assert suffix.startswith("The last codebook only tells apart items whose other codes are equal: 9")
    assert "UniqueTokenizer(strategy='reassign')" in suffix


def test_ids_of_different_lengths_are_named_and_counted_with_no_code_as_a_code(rng):
    prefixes = _distinct(rng.integers(64, size=(3_000, 3)), rng) % 64
    prefixes[:150] = prefixes[150:300]
    codes = _with_suffix(prefixes)
    # As a public tokenizer has it: the first item of its kind gets no suffix.
    tokens = {
        str(i): [f"<{letter}_{code}>" for letter, code in zip("abcd", row, strict=True) if letter != "d" or code > 0]
        for i, row in enumerate(codes)
    }
    lengths, suffix = tokenizer_report(tokens, codebook_size=64).advice
    n_short = np.count_nonzero(codes[:, 3] == 0)
    assert lengths.startswith(
        f"IDs of different lengths: {n_short:,} items have 3, {3_000 - n_short} items have 4 codes."
    )
    assert suffix.startswith("The last codebook only tells apart")
    table = tokenizer_report(tokens, codebook_size=64).table
    assert table["codebook_size"].tolist() == [64, 64, 64, 65]
    padded = np.where((codes == 0) & (np.arange(4) == 3), -1, codes)
    pd.testing.assert_frame_equal(table, tokenizer_report(padded, codebook_size=64).table)


def test_dead_codes_are_counted(rng):
    codes = rng.integers(200, size=(5_000, 3))
    (dead,) = tokenizer_report(codes, codebook_size=[200, 256, 240]).advice
    assert dead.startswith("Codebook 1 has 56 dead codes of 256, which no item has; likewise codebook 2.")
    # Of 300 items, random codes leave as many unused.
    assert tokenizer_report(rng.integers(256, size=(300, 3)), codebook_size=256).advice == []


def test_near_copies_are_named_and_random_codes_are_not(rng):
    codes = rng.integers(32, size=(2_000, 5))
    assert tokenizer_report(codes).advice == []
    codes[:, 4] = rng.permutation(32)[codes[:, 1]]
    (copies,) = tokenizer_report(codes).advice
    assert copies.startswith("Near copies: 1 of 10 pairs of codebooks say mostly the same, 1 and 4 the most (NMI 1.00")


def test_one_codebook_or_one_item_is_reported_too():
    report = tokenizer_report([[0], [1], [2], [2]])
    assert np.isnan(report.table.loc[0, "redundancy"])
    assert "prefix_collision_rate" not in report.summary
    report = tokenizer_report([[4, 2]], [[0.5, 0.5]])
    assert report.summary["collision_rate_of_distinct"] == 0
    assert "neighbor_overlap" not in report.summary


def test_the_text_shows_figures_table_and_numbered_findings(tmp_path, rng):
    codes = np.zeros((50, 2), dtype=int)
    np.save(tmp_path / "codes.npy", codes)
    text = str(tokenizer_report(tmp_path / "codes.npy", codebook_size=8))
    assert "collision_rate" in text
    assert "perplexity" in text
    assert "\n1. Codebook 0 uses 1 of 8 codes, as evenly as 1 would (perplexity 1.0); likewise codebook 1." in text
    assert max(map(len, text.splitlines())) <= 120
    html = tokenizer_report({"<b>": [0, 0], "<i>": [0, 0]})._repr_html_()
    assert "&lt;b&gt; and &lt;i&gt;" in html


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X": np.eye(3)}, "X must have one row for each of the 4 items, got 3"),
        ({"reconstruction": np.eye(4)}, "reconstruction must come with the embeddings it is compared with, got X=None"),
        ({"codebook_size": 2}, r"codes must lie in \[0, codebook_size\)"),
        ({"codebook_size": [4]}, "codebook_size must be one integer, or one for each of 2 codebooks"),
        ({"labels": [0, 1]}, r"labels must have shape \(4,\)"),
        ({"k": 0}, "k must be at least 1, got 0"),
    ],
)
def test_what_does_not_fit_the_codes_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        tokenizer_report([[0, 1], [1, 2], [2, 3], [3, 0]], **arguments)


def _crowded_prefixes(rng, n_items=500, n_prefixes=54):
    """Items on few of the 32² rows of two codebooks: without a third, nine of ten collide."""
    flat = rng.permutation(32**2)[:n_prefixes]
    flat = np.concatenate([flat, rng.choice(flat, n_items - n_prefixes)])
    return np.column_stack([flat // 32, flat % 32])


def test_a_suffix_in_heavy_use_is_named_as_one_and_not_as_an_uneven_codebook(rng):
    codes = _with_suffix(_crowded_prefixes(rng))
    suffixes = rng.permutation(64)[codes[:, 2]]  # whatever the suffixes are called
    for last in (codes[:, 2], suffixes):
        report = tokenizer_report(np.column_stack([codes[:, :2], last]), codebook_size=[32, 32, 64])
        assert report.summary["prefix_collision_rate"] == pytest.approx(0.892)
        assert report.summary["collision_rate"] == 0
        assert pd.Series(last).value_counts(normalize=True).max() < 0.5
        (suffix,) = [text for text in report.advice if "codebook 2" in text.lower() or "last codebook" in text]
        assert suffix.startswith(
            "The last codebook only tells apart items whose other codes are equal: among these, it counts from the "
            "same code up, and the collision rate is 89.20% without it, 0.00% with it."
        )
        assert "UniqueTokenizer(strategy='reassign') tells items apart without an extra codebook" in suffix


def test_a_suffix_of_more_items_than_rows_of_other_codes_is_not_to_be_reassigned(rng):
    prefixes = rng.integers(4, size=(500, 2))
    suffix = next(
        text for text in tokenizer_report(_with_suffix(prefixes)[:, [0, 1, 2]]).advice if "only tells" in text
    )
    assert "rows of codes, fewer than items: add one that is learned" not in suffix  # sizes are guessed from the suffix
    sizes = [4, 4, 1 + _with_suffix(prefixes)[:, 2].max()]
    report = tokenizer_report(_with_suffix(prefixes), codebook_size=sizes)
    suffix = next(text for text in report.advice if "only tells apart" in text)
    assert "The other codebooks have 16 rows of codes, fewer than items: add one that is learned" in suffix


def test_collisions_that_a_last_codebook_hides_are_found_in_small_code_spaces_too(rng):
    prefixes = _crowded_prefixes(rng)
    within = pd.Series(rng.random(500)).groupby([prefixes[:, 0], prefixes[:, 1]]).rank().to_numpy().astype(int)
    offsets = rng.integers(64, size=(32, 32))[prefixes[:, 0], prefixes[:, 1]]  # no two of a prefix share a code
    report = tokenizer_report(np.column_stack([prefixes, (within * 7 + offsets) % 64]), codebook_size=[32, 32, 64])
    (hidden,) = [text for text in report.advice if "last codebook" in text]
    assert hidden.startswith(
        "The last codebook hides collisions: without it the collision rate is 89.20%, with it 0.00%;"
    )
    assert "random codes of the same sizes have 20." in hidden or "random codes of the same sizes have 21." in hidden


def test_random_last_codes_are_no_suffix_and_random_prefixes_do_not_crowd(rng):
    flat = rng.permutation(32 * 32 * 64)[:500]
    codes = np.column_stack([flat // 64 // 32, flat // 64 % 32, flat % 64])
    report = tokenizer_report(codes, codebook_size=[32, 32, 64])
    assert report.summary["prefix_collision_rate"] > 0.15 and report.summary["collision_rate"] == 0
    assert report.advice == []


def test_an_uneven_codebook_is_told_of_norms_first():
    codes = np.minimum(np.random.default_rng(0).geometric(0.5, size=2_000) - 1, 31)[:, None]
    uneven = tokenizer_report(codes, codebook_size=32).advice[0]
    assert uneven.index("scale them to one length (sklearn.preprocessing.normalize)") < uneven.index("sinkhorn")


@pytest.mark.parametrize("n_used", [1, 4])
def test_a_codebook_of_hardly_any_codes_is_told_though_sizes_are_guessed(n_used, rng):
    codes = np.column_stack([rng.integers(n_used, size=2000), rng.integers(256, size=(2000, 2))])
    codes = codes[np.unique(codes, axis=0, return_index=True)[1]]
    advice = tokenizer_report(codes).advice
    assert any(text.startswith(f"Codebook 0 has codes below {n_used}, others up to 255. Unless") for text in advice)
    graded = np.column_stack([rng.integers(size, size=4000) for size in (16, 64, 1024)])
    assert not any("others up to" in text for text in tokenizer_report(graded).advice)


def _items_without_text(n_items, share, rng, n_codebooks=3):
    """Embeddings of which a share is the zero vector, and residual k-means codes of them."""
    X = make_items(n_items=n_items, n_features=24, random_state=0).embeddings.copy()
    X[rng.permutation(n_items)[: round(share * n_items)]] = 0
    return X, ResidualKMeansTokenizer(n_codebooks, 16, random_state=0).fit_transform(X)


@pytest.mark.parametrize("share", [0, 0.1, 0.2, 0.5, 0.8])
def test_shuffled_rows_are_noticed_however_many_items_share_one_embedding(share, rng):
    X, codes = _items_without_text(600, share, rng)
    assert not any("know nothing" in text for text in tokenizer_report(codes, X).advice)
    report = tokenizer_report(codes, X[rng.permutation(600)])
    assert report.advice[0].startswith("The codes know nothing of X")
    assert report.summary["neighbor_overlap"] == pytest.approx(report.summary["neighbor_overlap_by_chance"], rel=0.15)


def test_few_items_are_no_evidence_that_codes_know_nothing_of_them():
    for n_items in (12, 20, 40):
        X = make_items(n_items=n_items, n_features=24, random_state=0).embeddings
        codes = ResidualKMeansTokenizer(2, 8, random_state=0).fit_transform(X)
        assert not any("know nothing" in text for text in tokenizer_report(codes, X).advice)


def test_codes_of_items_that_share_one_embedding_are_not_held_to_be_uneven(rng):
    codes = rng.integers(64, size=(1_000, 3))
    X = rng.normal(size=(1_000, 8))
    for matrix, value in ((codes, 5), (X, 0)):
        matrix[:700] = value
    assert any("as evenly as" in text for text in tokenizer_report(codes, codebook_size=64).advice)
    assert not any("as evenly as" in text for text in tokenizer_report(codes, X, codebook_size=64).advice)


def test_a_suffix_is_found_though_items_that_share_an_embedding_share_it_too(rng):
    prefixes = rng.integers(12, size=(500, 2))
    X = rng.normal(size=(1_000, 8))
    codes = np.append(_with_suffix(prefixes), np.zeros((500, 3), dtype=int), axis=0)
    X[500:] = 0
    sizes = [12, 12, 64]
    assert not any("only tells apart" in text for text in tokenizer_report(codes, codebook_size=sizes).advice)
    assert any("only tells apart" in text for text in tokenizer_report(codes, X, codebook_size=sizes).advice)


def test_items_without_an_embedding_are_left_out_of_what_is_said_of_embeddings(made, rng):
    codes, X, reconstruction = made
    known = rng.random(len(X)) < 0.8
    with_gaps = np.where(known[:, None], X, np.nan)
    for decoded in (reconstruction, np.where(known[:, None], reconstruction, np.nan)):
        summary = tokenizer_report(codes, with_gaps, reconstruction=decoded).summary
        expected = tokenizer_report(codes[known], X[known], reconstruction=reconstruction[known]).summary
        assert summary["n_items_without_embedding"] == len(X) - known.sum()
        for name in ("collision_rate_of_distinct", "neighbor_overlap_of_reconstruction", "r2"):
            assert summary[name] == expected[name]
        assert summary["neighbor_overlap"] == pytest.approx(expected["neighbor_overlap"])
        assert summary["neighbor_overlap_by_chance"] == expected["neighbor_overlap_by_chance"]
    assert "n_items_without_embedding" not in tokenizer_report(codes, X).summary
    report = tokenizer_report(codes, with_gaps[rng.permutation(len(X))])
    assert report.advice[0].startswith("The codes know nothing of X")


@pytest.mark.parametrize("first", [[np.nan, 1.0], [np.inf, 1.0], [np.nan, np.nan]])
def test_half_an_embedding_and_none_at_all_are_refused(first):
    with pytest.raises(ValueError, match="X must hold neither NaN nor infinity"):
        tokenizer_report([[0], [1]], [first, [np.nan, np.nan]])


def test_embeddings_of_interactions_show_rows_in_another_order(rng):
    kinds = np.repeat(np.arange(60), 10)  # every user has items of three kinds
    users = np.repeat(np.arange(400), 12)
    of_users = rng.integers(60, size=(400, 3))[users, rng.integers(3, size=len(users))]
    log = pd.DataFrame({"user_id": users, "item_id": of_users * 10 + rng.integers(10, size=len(users))})
    X = interaction_embeddings(log[log["item_id"] % 100 > 2], np.arange(600), n_components=16, random_state=0)
    assert np.isnan(X).all(axis=1).sum() >= 18
    codes = np.column_stack([kinds // 8, kinds % 8, rng.integers(8, size=600)])
    assert not any("know nothing" in text for text in tokenizer_report(codes, X).advice)
    assert "know nothing" in tokenizer_report(rng.permutation(codes), X).advice[0]


def test_norms_are_blamed_only_where_they_differ(rng):
    codes = np.minimum(rng.geometric(0.5, size=2_000) - 1, 31)[:, None]
    X = rng.normal(size=(2_000, 8))
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    uneven = tokenizer_report(codes, unit, codebook_size=32).advice
    assert any("would (perplexity" in text for text in uneven)
    assert not any("norm" in text for text in uneven)
    lengths = np.repeat([1, 4], 1_000)[:, None]
    (uneven,) = [text for text in tokenizer_report(codes, unit * lengths, codebook_size=32).advice if "evenly" in text]
    assert "The embeddings differ in norm, the longest are 4.0 times the shortest: scale them to one length" in uneven


def test_what_graded_codebooks_do_by_design_is_called_so():
    X = make_items(n_items=600, n_features=24, random_state=0).embeddings
    tokenizer = presets.ranking(max_iter=3, random_state=0).fit(X)
    collisions, copies = tokenizer_report(tokenizer.transform(X), X, codebook_size=tokenizer.codebook_sizes_).advice
    assert collisions.startswith("Collisions, by design: ")
    assert (
        "made for click models that have the item id as a field beside the codes, and lack nothing there" in collisions
    )
    assert copies.startswith("Near copies, by design: ")
    assert "are made so: each is a clustering of the whole items, coarse or fine, and click models gain" in copies


def test_a_column_of_ids_in_an_array_is_named(rng):
    codes = rng.integers(16, size=(300, 2))
    for ids in (np.arange(300), np.arange(300) + 338_077, rng.permutation(300)):
        report = tokenizer_report(np.column_stack([ids, codes]))
        assert report.advice[0].startswith("Codebook 0 has another code for every item, as ids have.")
        assert any("as ids have" in text for text in tokenizer_report(np.column_stack([codes, ids])).advice)
    assert not any("as ids have" in text for text in tokenizer_report(codes).advice)


def test_an_enormous_last_code_costs_no_memory(rng):
    prefixes = _crowded_prefixes(rng)
    last = rng.permutation(500) % 250 * 2**22
    report = tokenizer_report(np.column_stack([prefixes, last]))
    assert report.summary["collision_rate"] < report.summary["prefix_collision_rate"] / 10


def test_codes_that_are_numbered_through_are_told_so(rng):
    codes = rng.integers(64, size=(2_000, 3))
    report = tokenizer_report(codes + np.array([0, 64, 128]))
    (finding,) = report.advice
    assert finding.startswith("The codes are numbered through from codebook to codebook")
    assert "they begin at 0, 64, 128, and are counted from there in this report. Subtract" in finding
    pd.testing.assert_frame_equal(report.table, tokenizer_report(codes).table)
    assert tokenizer_report(codes).advice == []
    shorter = np.where(np.arange(2_000)[:, None] % 2 & (np.arange(3) == 2), -1, codes + np.array([0, 64, 128]))
    assert any(text.startswith("The codes are numbered through") for text in tokenizer_report(shorter).advice)
