"""The items that a command is given: embeddings or texts, and the tokenizer that takes them."""

import sys

from sklearn.pipeline import Pipeline, make_pipeline

from semid import tokenizers
from semid.cli._embeddings import Columns, EmbeddingFile
from semid.cli._main import TOKENIZERS
from semid.cli._texts import TEXT_ENDINGS, TextFile, kind_of
from semid.embedders import TextEmbedder
from semid.tokenizers import presets

FIT_DEFAULTS = {"tokenizer": "ranking", "seed": 0, "fit_rows": 200_000}
OF_A_NEW_TOKENIZER = ("n_codebooks", "codebook_size", "embedder", "template")


def check_fit_options(options):
    """Raise for numbers below 1, and for options of a fit where a saved tokenizer is used."""
    for name in ("fit_rows", "batch_rows", "n_jobs"):
        if getattr(options, name, None) is not None and getattr(options, name) < 1:
            raise ValueError(f"{option(name)} must be at least 1, got {getattr(options, name)}.")
    for name in ("save", *FIT_DEFAULTS, *OF_A_NEW_TOKENIZER):
        if getattr(options, "model", None) and getattr(options, name, None) is not None:
            raise ValueError(f"{option(name)} must be left out with --model, whose tokenizer is fitted already.")


def option(name):
    """Return the option on the command line that `name` is the attribute of."""
    return f"--{name.replace('_', '-')}"


def open_items(path, options, model=None):
    """Return the file of items: of texts if columns of text are named, or are what `model` begins with."""
    columns = _text_columns(options, model)
    if columns:
        return TextFile(path, options.id_column, columns)
    if kind_of(path) in TEXT_ENDINGS:
        raise ValueError(
            f"embeddings must be a .npy or a .parquet file, got {str(path)!r}. If it holds texts, name their columns: "
            "--text-columns title,brand."
        )
    return EmbeddingFile(path, Columns(options.id_column, options.embedding_column))


def fitted(options, file, say):
    """Return the tokenizer that the options ask for, fitted on a part of the items."""
    tokenizer = made(options, isinstance(file, TextFile))
    chosen = FIT_DEFAULTS["fit_rows"] if options.fit_rows is None else options.fit_rows
    X = file.sample(chosen, options.batch_rows)
    last = tokenizer[-1] if isinstance(tokenizer, Pipeline) else tokenizer
    say(f"fitting {type(last).__name__} on {len(X):,} of {file.n_rows:,} items")
    if "verbose" not in last.get_params() or getattr(options, "quiet", False) or not sys.stderr.isatty():
        return tokenizer.fit(X)
    last.set_params(verbose=True)
    tokenizer.fit(X)
    last.set_params(verbose=False)  # as it is to be saved
    return tokenizer


def made(options, of_texts):
    """Return the tokenizer that the options ask for, not fitted; of texts, behind a `TextEmbedder`."""
    chosen = {name: getattr(options, name, None) for name in FIT_DEFAULTS}
    chosen = {name: FIT_DEFAULTS[name] if value is None else value for name, value in chosen.items()}
    name = TOKENIZERS[chosen["tokenizer"]]
    tokenizer = getattr(presets if name == "ranking" else tokenizers, name)(random_state=chosen["seed"])
    parameters = {"n_codebooks": options.n_codebooks, "codebook_size": _codebook_size(options.codebook_size)}
    parameters = {name: value for name, value in parameters.items() if value is not None}
    unknown = set(parameters) - set(tokenizer.get_params())
    if unknown:
        raise ValueError(
            f"{option(sorted(unknown)[0])} must be left out for --tokenizer {chosen['tokenizer']}, which has none."
        )
    tokenizer.set_params(**parameters)
    if of_texts:
        return make_pipeline(TextEmbedder(options.embedder or "lsa", template=options.template), tokenizer)
    for name in ("embedder", "template"):
        if getattr(options, name) is not None:
            raise ValueError(f"{option(name)} must be left out without --text-columns: it is for texts.")
    return tokenizer


def _text_columns(options, model):
    if options.text_columns is not None:
        names = [name.strip() for name in options.text_columns.split(",")]
        if not all(names):
            raise ValueError(f"--text-columns must be names with commas between, got {options.text_columns!r}.")
        return names
    if isinstance(model, Pipeline) and isinstance(model[0], TextEmbedder):
        known = getattr(model[0], "feature_names_in_", None)
        if known is None:
            raise ValueError("--text-columns must name the columns of text: the saved tokenizer does not know them.")
        return list(known)
    return []


def _codebook_size(text):
    if text is None or text == "graded":
        return text
    try:
        return int(text)
    except ValueError as error:
        raise ValueError(f"--codebook-size must be an integer or 'graded', got {text!r}.") from error
