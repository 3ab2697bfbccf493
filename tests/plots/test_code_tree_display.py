from collections import Counter
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from semid.plots import CodeTreeDisplay
from semid.tokenizers import ResidualKMeansTokenizer

CODES = np.random.default_rng(0).integers([3, 4, 5], size=(150, 3))


def test_branches_are_the_counts_of_prefixes():
    display = CodeTreeDisplay.from_codes(CODES)
    for level, branches in enumerate(display.branches, start=1):
        expected = Counter(tuple(row[:level]) for row in CODES.tolist())
        assert {branch.codes: branch.n_items for branch in branches} == expected


def test_branches_lie_within_their_parents_without_gaps_larger_siblings_first():
    levels = CodeTreeDisplay.from_codes(CODES).branches
    for branches in levels:
        starts = np.cumsum([0] + [branch.n_items for branch in branches])
        assert [branch.start for branch in branches] == starts[:-1].tolist()
        assert starts[-1] == len(CODES)
    for parents, children in pairwise(levels):
        for parent in parents:
            own = [child for child in children if child.codes[:-1] == parent.codes]
            assert own[0].start == parent.start
            assert sum(child.n_items for child in own) == parent.n_items
            sizes = [child.n_items for child in own]
            assert sizes == sorted(sizes, reverse=True)


def test_labels_are_the_most_frequent_and_the_first_of_equals():
    codes = [[0], [0], [0], [1], [1], [2]]
    display = CodeTreeDisplay.from_codes(codes, pd.Series(["c", "b", "b", "z", "  a\n a ", None]))
    assert [branch.label for branch in display.branches[0]] == ["b", "z", ""]


def test_each_level_may_have_labels_of_its_own():
    codes = [[0, 0], [0, 1], [0, 1], [1, 0]]
    labels = pd.DataFrame({"shelf": ["care", "care", "toys", "toys"], "title": ["soap", "comb", "kite", "kite"]})
    first, second = CodeTreeDisplay.from_codes(codes, labels).branches
    assert [branch.label for branch in first] == ["care", "toys"]
    assert [branch.label for branch in second] == ["comb", "soap", "kite"]


def test_of_titles_the_item_nearest_to_the_decoded_codes_names_a_branch(items):
    X = items.embeddings
    tokenizer = ResidualKMeansTokenizer(n_codebooks=3, codebook_size=4, max_iter=3, random_state=0).fit(X)
    titles = [f"title {i}" for i in range(len(X))]
    display = CodeTreeDisplay.from_estimator(tokenizer, X, titles, max_depth=2)
    codes = tokenizer.transform(X)
    assert len(display.branches) == 2
    for level, branches in enumerate(display.branches, start=1):
        for branch in branches:
            members = np.flatnonzero((codes[:, :level] == branch.codes).all(axis=1))
            center = tokenizer.inverse_transform([branch.codes])[0]
            nearest = members[np.linalg.norm(X[members] - center, axis=1).argmin()]
            assert branch.label == titles[nearest]


def test_boxes_are_as_high_as_their_branches():
    display = CodeTreeDisplay.from_codes(CODES, max_depth=2).plot(alpha=0.5)
    for level, (boxes, branches) in enumerate(zip(display.boxes_, display.branches, strict=True)):
        for path, branch in zip(boxes.get_paths(), branches, strict=True):
            left, top = path.vertices.min(axis=0)
            right, bottom = path.vertices.max(axis=0)
            assert (left, right, top, bottom) == (level, level + 1, branch.start, branch.start + branch.n_items)
        assert boxes.get_alpha() == 0.5
    assert display.ax_.get_ylim() == (len(CODES), 0)
    large = display.branches[0][0]
    assert f"{large.codes[0]}  ({large.n_items})" in [text.get_text() for text in display.text_]


def test_the_largest_branches_of_a_level_are_labelled():
    labels = [f"item {i}, a title so long that nobody reads it to its end" for i in range(len(CODES))]
    display = CodeTreeDisplay.from_codes(CODES, labels)
    display.plot(label_level=-1, n_labels=4)
    written = [text.get_text() for text in display.text_ if "item" in text.get_text()]
    largest = sorted(display.branches[-1], key=lambda branch: -branch.n_items)[:4]
    in_boxes = [text for text in written if "-" not in text.split(":")[0]]
    written = [text for text in written if text not in in_boxes]
    assert len(written) == 4
    for branch in display.branches[0]:
        (text,) = [
            text
            for text in in_boxes
            if text.startswith(f"{branch.codes[0]}: ") and text.endswith(f"({branch.n_items})")
        ]
        assert branch.label.startswith(text.split(": ")[1].split("…")[0])
    for branch in largest:
        (text,) = [text for text in written if text.startswith("-".join(map(str, branch.codes)) + ": ")]
        assert text.endswith(f"… ({branch.n_items})")
        assert branch.label.startswith(text.split(": ")[1].split("…")[0])
    assert not any("item" in text.get_text() for text in display.plot(n_labels=0).text_)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="labels must have one entry per item, got 2 for 150 items"):
        CodeTreeDisplay.from_codes(CODES, ["a", "b"])
    with pytest.raises(ValueError, match="one column, or one for each of the 3 levels, got 2; max_depth is the number"):
        CodeTreeDisplay.from_codes(CODES, [["a", "b"]] * 150)
    with pytest.raises(ValueError, match="max_depth must be at least 1, got 0"):
        CodeTreeDisplay.from_codes(CODES, max_depth=0)
    with pytest.raises(ValueError, match=r"label_level must lie in \[-3, 2\], got 3"):
        CodeTreeDisplay.from_codes(CODES).plot(label_level=3)
    with pytest.raises(ValueError, match="n_labels must be at least 0, got -1"):
        CodeTreeDisplay.from_codes(CODES).plot(n_labels=-1)
