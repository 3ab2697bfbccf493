"""Makes ``corpus/v1``: small artifacts as this version saves them, with what they gave, for later versions to load.

``python tests/io/make_corpus.py`` adds what is not there yet, for a new estimator or a new version of the format. What
is there stays: an artifact that changes with the code that reads it tests nothing. Those that end in ``-removed`` were
fitted by 0.1.0 with parameters that later versions have not, the one that ends in ``-vectors`` with its adapter.
"""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from semid import ctr, tokenizers
from semid.embedders import CoClickEmbedder, TextEmbedder
from semid.features import HistoryEncoder, ItemTable, PrefixNGramEncoder, SemanticIDEncoder, interaction_matrix
from semid.io import Catalogue, save
from semid.io._artifact import VERSION
from semid.io._generation import VERSION as CATALOGUE_VERSION
from semid.io._generation_files import LOCK
from semid.recommend import NextItemRecommender
from semid.tokenizers import presets

CORPUS = Path(__file__).parent / "corpus"
_N_ITEMS, _N_FEATURES, _N_IMPRESSIONS = 24, 6, 160
_AUTOENCODER = {"codebook_size": 4, "hidden_layer_sizes": (5,), "latent_dim": 3, "max_iter": 2, "random_state": 0}


def make_inputs():
    """Return what all artifacts are fitted on and asked: embeddings by item id, new ones, impressions and clicks."""
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(_N_ITEMS, _N_FEATURES)).round(3)
    colours, things = ["red", "blue", "green", "grey"], ["mug", "cup", "pan", "pot", "lid", "jug"]
    impressions = {
        "user_id": rng.integers(5, size=_N_IMPRESSIONS).tolist(),
        "item_id": [f"item{i}" for i in rng.integers(_N_ITEMS, size=_N_IMPRESSIONS)],
        "price": rng.normal(size=_N_IMPRESSIONS).round(3).tolist(),
    }
    return {
        "ids": [f"item{i}" for i in range(_N_ITEMS)],
        "texts": [f"{colour} {thing}" for colour in colours for thing in things],
        "embeddings": embeddings.tolist(),
        "new_embeddings": rng.normal(size=(12, _N_FEATURES)).round(3).tolist(),
        "impressions": impressions,
        "clicks": rng.integers(2, size=_N_IMPRESSIONS).tolist(),
    }


def question(name, inputs):
    """Return what the artifact called `name` is given: a table of impressions, of codes, or new embeddings."""
    if name.startswith("NextItem"):
        return [["item3", "item5"], ["gone"]]
    if name.startswith("History"):
        return _timed(inputs)[-20:]
    if name.endswith("-vectors"):
        impressions = pd.DataFrame(inputs["impressions"])
        vectors = pd.DataFrame(inputs["embeddings"], index=inputs["ids"]).add_prefix("vector")
        return impressions[["user_id", "item_id"]].join(vectors, on="item_id")[-20:]
    if name.endswith(("Classifier", "ClickPipeline")):
        return pd.DataFrame(inputs["impressions"])[-20:]
    if name.startswith("Text"):
        return [*inputs["texts"], "yellow mug", ""]
    if name.startswith("SemanticIDEncoder"):
        return pd.DataFrame({"item_id": [*inputs["ids"], "gone"]})
    if name == "PrefixNGramEncoder":
        return pd.DataFrame({"code0": [0, 1, -1], "code1": [2, 1, 0]})
    return np.array(inputs["embeddings"] + inputs["new_embeddings"])


def answer(estimator, X):
    """Return the probabilities or codes of `X`, or the lengths of its histories and their last entries, as lists."""
    if isinstance(estimator, HistoryEncoder):
        histories = estimator.transform(X)["history"].array
        lasts = np.append(histories.entries, -1)[np.where(histories.lengths > 0, histories.stops - 1, -1)]
        return np.column_stack([histories.lengths, lasts]).tolist()
    if isinstance(estimator, NextItemRecommender):
        return np.asarray(estimator.score_items(X), dtype=float).tolist()
    give = estimator.predict_proba if hasattr(estimator, "predict_proba") else estimator.transform
    return np.asarray(give(X), dtype=float).tolist()


def _tokenizers(X):
    few = {"n_codebooks": 2}
    made = {
        "FSQTokenizer": tokenizers.FSQTokenizer(
            n_codebooks=2, codebook_size=4, hidden_layer_sizes=(5,), max_iter=2, random_state=0
        ),
        "MixtureOfCodesTokenizer": tokenizers.MixtureOfCodesTokenizer(**few, **_AUTOENCODER),
        "MixtureOfCodesTokenizer-graded": presets.ranking(
            **_AUTOENCODER | {"n_codebooks": 2, "codebook_size": "graded"}
        ),
        "MultiEmbeddingTokenizer": tokenizers.MultiEmbeddingTokenizer(**few, **_AUTOENCODER),
        "ParallelKMeansTokenizer": tokenizers.ParallelKMeansTokenizer(**few, codebook_size=[2, 4], random_state=0),
        "ProductQuantizationTokenizer": tokenizers.ProductQuantizationTokenizer(**few, codebook_size=4, random_state=0),
        "RQVAETokenizer": tokenizers.RQVAETokenizer(**few, **_AUTOENCODER, assignment="sinkhorn"),
        "RandomTokenizer": tokenizers.RandomTokenizer(**few, codebook_size=4, random_state=0),
        "ResidualKMeansTokenizer": _kmeans(beam_size=2),
        "UniqueTokenizer": tokenizers.UniqueTokenizer(_kmeans(codebook_size=8)),
        "UniqueTokenizer-capacity": tokenizers.UniqueTokenizer(_kmeans(), capacity=2),
        "UniqueTokenizer-suffix": tokenizers.UniqueTokenizer(_kmeans(), strategy="suffix"),
        "VQVAETokenizer": tokenizers.VQVAETokenizer(**_AUTOENCODER),
        "EmbeddingPipeline": make_pipeline(StandardScaler(), _kmeans()),
    }
    return {name: tokenizer.fit(X) for name, tokenizer in made.items()}


def _kmeans(**parameters):
    return tokenizers.ResidualKMeansTokenizer(**{"n_codebooks": 2, "codebook_size": 4, "random_state": 0} | parameters)


def _text_pipeline():
    return make_pipeline(TextEmbedder(n_components=3), _kmeans())


def _encoders(inputs, table):
    impressions, clicks = pd.DataFrame(inputs["impressions"]), np.array(inputs["clicks"])
    codes = pd.DataFrame({"code0": [0, 1, 2], "code1": [0, 1, 2]})
    texts = ItemTable(inputs["ids"], texts=inputs["texts"])
    pipeline = make_pipeline(_columns(table), _classifier("DeepFMClassifier"))
    return {
        "SemanticIDEncoder": SemanticIDEncoder(_kmeans(), table).fit(impressions[["item_id"]]),
        "SemanticIDEncoder-texts": SemanticIDEncoder(_text_pipeline(), texts).fit(impressions[["item_id"]]),
        "TextEmbedder": _text_pipeline()[0].fit(inputs["texts"]),
        "TextPipeline": _text_pipeline().fit(inputs["texts"]),
        "PrefixNGramEncoder": PrefixNGramEncoder(n_buckets=100).fit(codes),
        "ClickPipeline": pipeline.fit(impressions, clicks),
        "HistoryEncoder": HistoryEncoder().fit(_timed(inputs), clicks),
        "HistoryPipeline": _history_pipeline(table).fit(_timed(inputs), clicks),
        **{f"NextItemRecommender{name}": model.fit(_timed(inputs)) for name, model in _recommenders(table).items()},
        **{name: _classifier(name).fit(impressions, clicks) for name in ctr.__all__ if name.endswith("Classifier")},
    }


def _co_click_embedder(inputs, X):
    clicks = pd.DataFrame(inputs["impressions"])[np.array(inputs["clicks"]) == 1]
    embedder = CoClickEmbedder(3, hidden_dim=4, max_iter=1, random_state=0)
    return embedder.fit(X, interactions=interaction_matrix(clicks, inputs["ids"]))


def _recommenders(table):
    small = {"embedding_dim": 4, "n_layers": 1, "max_iter": 1, "random_state": 0}
    codes = SemanticIDEncoder(_kmeans(), table)
    return {
        "": NextItemRecommender(codes, own_embedding=True, **small),
        "-residual": NextItemRecommender(codes, "residual", **small),
        "-ids": NextItemRecommender(**small),
    }


def _timed(inputs):
    """Return the impressions with times, some of which are equal."""
    return pd.DataFrame(inputs["impressions"]).assign(timestamp=np.arange(_N_IMPRESSIONS) // 2)


def _history_pipeline(table):
    """Return a pipeline from users and times to clicks, whose histories have the codes of their items."""
    keep = ("keep", "passthrough", ["user_id", "item_id", "price"])
    histories = ColumnTransformer(
        [("history", HistoryEncoder(max_length=5), ["user_id", "item_id", "timestamp"]), keep],
        verbose_feature_names_out=False,
    )
    codes = ColumnTransformer(
        [("codes", SemanticIDEncoder(_kmeans(), table), ["item_id", "history"])],
        remainder="passthrough",
        verbose_feature_names_out=False,
    )
    return make_pipeline(histories, codes, _classifier("DeepFMClassifier")).set_output(transform="pandas")


def _columns(table):
    codes = SemanticIDEncoder(_kmeans(), table)
    transformer = ColumnTransformer(
        [("codes", codes, ["item_id"]), ("scaled", StandardScaler(), ["price"])],
        remainder="passthrough",
        verbose_feature_names_out=False,
    )
    return transformer.set_output(transform="pandas")


def _classifier(name):
    parameters = {"embedding_dim": 2, "max_iter": 1, "random_state": 0}
    if name != "FactorizationMachineClassifier":
        parameters["hidden_layer_sizes"] = (4,)
    if name == "AutoIntClassifier":
        parameters |= {"n_attention_layers": 1, "attention_dim": 2}
    return getattr(ctr, name)(**parameters)


def make_estimators(inputs):
    """Return one fitted estimator of each class, and a few of their ways, by name."""
    X = np.array(inputs["embeddings"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a catalogue as small as this
        made = {**_tokenizers(X), **_encoders(inputs, ItemTable(inputs["ids"], X.astype(np.float32)))}
        return made | {"CoClickEmbedder": _co_click_embedder(inputs, X)}


def make_catalogue(folder, inputs):
    """Write a catalogue of two generations, and what they held, unless it is there."""
    if folder.exists():
        return
    folder.mkdir()
    ids, X = np.array(inputs["ids"], dtype=object), np.array(inputs["embeddings"], dtype=np.float32)
    catalogue = Catalogue.build(folder / "catalogue", ids[:20], X[:20], tokenizer=_kmeans())
    catalogue.append(ids, X)
    (folder / "catalogue" / LOCK).unlink()
    held = {n: catalogue.open(n).codes_of(inputs["ids"]).tolist() for n in catalogue.generations}
    (folder / "expected.json").write_text(json.dumps({"ids": inputs["ids"], "codes": held}) + "\n", encoding="utf-8")


def main():
    """Write the artifacts that are not there yet, and add their answers to ``expected.json``; then the catalogue."""
    folder = CORPUS / f"v{VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "expected.json"
    content = (
        json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"inputs": make_inputs(), "answers": {}}
    )
    inputs, answers = content["inputs"], content["answers"]
    for name, estimator in make_estimators(inputs).items():
        if name not in answers:
            answers[name] = answer(estimator, question(name, inputs))
            save(estimator, folder / name)
    path.write_text(json.dumps(content) + "\n", encoding="utf-8")
    make_catalogue(CORPUS / f"catalogue-v{CATALOGUE_VERSION}", inputs)


if __name__ == "__main__":
    main()
