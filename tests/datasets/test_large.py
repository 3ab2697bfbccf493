"""What loading and sampling cost at the size of a large data set, on one core."""

import gzip
import json
import random
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from semid.datasets import load_movielens, sample_negatives

pytestmark = pytest.mark.slow

_MEASURE = """
import resource, sys, time
from semid.datasets import load_amazon_reviews
start = time.process_time()
log = load_amazon_reviews(sys.argv[1])
print(len(log.interactions), time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


def test_a_million_reviews_load_in_30_seconds_and_2_gigabytes(tmp_path):
    rng, path = random.Random(0), tmp_path / "reviews.json.gz"
    words = ["the", "and", "good", "product", "really", "love", "this", "works", "well", "bottle"]
    texts = [" ".join(rng.choices(words, k=rng.randint(20, 120))) for _ in range(1000)]
    with gzip.open(path, "wt", compresslevel=1) as stream:
        for _ in range(1_000_000):
            review = {
                "reviewerID": f"A{rng.randrange(10**6):013d}",
                "asin": f"B{rng.randrange(10**5):09d}",
                "helpful": [0, 1],
                "reviewText": rng.choice(texts),
                "overall": float(rng.randint(1, 5)),
                "summary": "Great product",
                "unixReviewTime": 1370131200 + 86400 * rng.randrange(400),
            }
            stream.write(json.dumps(review) + "\n")
    output = subprocess.run([sys.executable, "-c", _MEASURE, path], check=True, capture_output=True, text=True).stdout
    n_interactions, seconds, gibibytes = map(float, output.split())
    assert n_interactions == 1_000_000
    assert seconds < 30
    assert gibibytes < 2


def test_ten_million_ratings_load_in_20_seconds_even_with_a_bad_line_in_60(tmp_path, rng):
    n = 10_000_000
    users, items = rng.integers(1, 100_000, size=n), rng.integers(1, 50_000, size=n)
    frame = pd.DataFrame({"userId": users, "movieId": items, "rating": 3.5, "timestamp": 10**9})
    frame.to_csv(tmp_path / "ratings.csv", index=False)
    (tmp_path / "movies.csv").write_text("movieId,title,genres\n")
    start = time.process_time()
    log = load_movielens(tmp_path)
    assert time.process_time() - start < 20
    np.testing.assert_array_equal(log.interactions["user_id"], users)

    with open(tmp_path / "ratings.csv", "a") as stream:
        stream.write("1,2,three,4\n")
    start = time.process_time()
    with pytest.warns(UserWarning, match="line 10000002: rating must be a number, got 'three'"):
        log = load_movielens(tmp_path, on_bad_lines="warn")
    assert time.process_time() - start < 60
    assert len(log.interactions) == n


@pytest.mark.parametrize("sampling", ["uniform", "popularity"])
def test_ten_million_negatives_are_drawn_in_20_seconds(rng, sampling):
    n = 10_000_000
    items = (100_000 * rng.random(n) ** 2).astype(np.int64)
    log = pd.DataFrame({"user_id": rng.integers(200_000, size=n), "item_id": items})
    start = time.process_time()
    negatives = sample_negatives(log, np.arange(100_000), sampling=sampling, random_state=0)
    seconds = time.process_time() - start
    assert seconds < 20
    keys = log["user_id"].to_numpy() * 100_000
    assert not pd.Series(keys + negatives["item_id"].to_numpy()).isin(keys + items).any()
