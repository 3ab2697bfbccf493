"""How long public RQ-VAE recipes train until they are as good as our RQ-VAE at its defaults, if ever.

    python benchmarks/time_to_quality.py embeddings.npy --output docs/benchmarks.md --plot curves.png

A recipe's clock stops while it is measured. Each point is added to a file of JSON lines at once.
"""

import argparse
import time

import numpy as np
import torch
from machine import describe_machine, prepare_torch
from quality import figures_of_codes
from recipes import GradientResidualQuantizer, QuantizedMLP, residual_vq
from records import Records, markdown_table, publish

from semid.metrics import reconstruction_r2
from semid.tokenizers import RQVAETokenizer

OURS = "semid"
_LATENT_DIM = 32
_PAUSE = 1.05  # a recipe is measured again when its clock has advanced by this factor

LEGEND = """\
{n_codebooks} codes of {codebook_size}, all items, codes as they come out of the quantizer. Our line is one fit of
`RQVAETokenizer` at its defaults. A recipe trains for {limit:.0f} s, or until it is as good in R² and unique share at
once; the time of measuring it is not counted."""


def lc_rec(n_features, n_codebooks, codebook_size):
    sizes = (n_features, 2048, 1024, 512, 256, 128, 64, _LATENT_DIM)
    quantizer = GradientResidualQuantizer(n_codebooks, codebook_size, _LATENT_DIM)
    return QuantizedMLP(quantizer, sizes, weight_decay=1e-4)


def vector_quantize_pytorch(n_features, n_codebooks, codebook_size):
    quantizer = residual_vq(n_codebooks, codebook_size, _LATENT_DIM)
    return QuantizedMLP(quantizer, (n_features, 512, 256, 128, _LATENT_DIM))


RECIPES = {"LC-Rec's recipe": lc_rec, "vector-quantize-pytorch ResidualVQ": vector_quantize_pytorch}


def our_curve(X, n_codebooks, codebook_size):
    """Yield a point per budget of epochs, each a fit of its own, since a fit plans for its end; the default last."""
    full = RQVAETokenizer().max_iter
    for max_iter in [*(n for n in (1, 3, 10) if n < full), full]:
        tokenizer = RQVAETokenizer(n_codebooks, codebook_size, max_iter=max_iter, random_state=0)
        start = time.perf_counter()
        tokenizer.fit(X)
        seconds = time.perf_counter() - start
        codes = tokenizer.transform(X)
        yield point(X, codes, tokenizer.inverse_transform(codes), seconds, max_iter)


def curve(recipe, X, limit):
    """Yield points along the training of `recipe` until its own clock passes `limit` seconds."""
    seconds, n_epochs, due = 0.0, 0, 0.0
    epochs = recipe.epochs(X)
    while seconds < limit:
        start = time.perf_counter()
        next(epochs)
        seconds, n_epochs = seconds + time.perf_counter() - start, n_epochs + 1
        if seconds >= min(due, limit):
            codes = recipe.encode(X)
            yield point(X, codes, recipe.decode(codes), seconds, n_epochs)
            due = _PAUSE * seconds


def point(X, codes, reconstruction, seconds, n_epochs):
    figures = figures_of_codes(codes, codes.max(0) + 1)
    r2 = reconstruction_r2(X, reconstruction)
    return {"seconds": seconds, "n_epochs": n_epochs, "r2": r2, "unique_share": figures["unique_share"]}


def is_as_good(point, target):
    return point["r2"] >= target["r2"] and point["unique_share"] >= target["unique_share"]


def run(X, arguments, records):
    """Return the points of each contender, ours first."""
    shape = (arguments.n_codebooks, arguments.codebook_size)

    def record(name, points):
        for found in points:
            records.add({"name": name, **found})
            yield found
            if name != OURS and is_as_good(found, target):
                return

    curves = {OURS: list(record(OURS, our_curve(X, *shape)))}
    target = curves[OURS][-1]
    limit = time_limit(target, arguments)
    for name, build in RECIPES.items():
        torch.manual_seed(0)
        curves[name] = list(record(name, curve(build(X.shape[1], *shape), X, limit)))
    return curves


def time_limit(target, arguments):
    return arguments.limit or arguments.factor * target["seconds"]


def report(curves, arguments):
    target = curves[OURS][-1]
    rows = [_row(f"**{OURS}**", target, "")]
    for name, points in curves.items():
        if name == OURS:
            continue
        last = points[-1]
        if is_as_good(last, target):
            rows.append(_row(name, last, f"{last['seconds'] / target['seconds']:.1f} times our fit"))
            continue
        rows.append(_row(f"{name}, at its best R²", max(points, key=lambda p: p["r2"]), "never"))
        rows.append(_row(f"{name}, at its best unique share", max(points, key=lambda p: p["unique_share"]), "never"))
    limit = time_limit(target, arguments)
    legend = LEGEND.format(n_codebooks=arguments.n_codebooks, codebook_size=arguments.codebook_size, limit=limit)
    return "\n\n".join([describe_machine(arguments.threads), legend, markdown_table(rows)])


def _row(name, found, verdict):
    return {
        "recipe": name,
        "seconds": f"{found['seconds']:.1f}",
        "epochs": f"{found['n_epochs']:,}",
        "R²": f"{found['r2']:.3f}",
        "unique": f"{found['unique_share']:.3f}",
        "as good as ours in both": verdict,
    }


def draw(curves, path):
    """Save R² and unique share against seconds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    axes = figure.subplots(1, 2)
    for ax, (key, label) in zip(axes, {"r2": "R²", "unique_share": "unique share"}.items(), strict=True):
        for name, points in curves.items():
            seconds = [found["seconds"] for found in points]
            ax.plot(seconds, [found[key] for found in points], "o-" if name == OURS else "-", label=name)
        ax.set(xscale="log", xlabel="seconds of training", ylabel=label, ylim=(0, 1))
    axes[0].legend()
    figure.savefig(path, dpi=120)


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("embeddings", help="npy file (n_items, n_features)")
    parser.add_argument("--n-codebooks", type=int, default=4)
    parser.add_argument("--codebook-size", type=int, default=256)
    parser.add_argument("--factor", type=float, default=10, help="how many times our fit a recipe may train")
    parser.add_argument("--limit", type=float, help="seconds per recipe instead")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--results", default="outputs/time_to_quality.jsonl", help="every point, one per line")
    parser.add_argument("--plot", help="png file to draw the curves to")
    parser.add_argument("--output", help="markdown page with the markers 'time_to_quality'; without it, print only")
    return parser.parse_args(arguments)


def main(arguments=None):
    arguments = parse_arguments(arguments)
    prepare_torch(arguments.threads)
    X = np.load(arguments.embeddings).astype(np.float32)
    curves = run(X, arguments, Records(arguments.results))
    if arguments.plot:
        draw(curves, arguments.plot)
    publish(report(curves, arguments), "time_to_quality", arguments.output)


if __name__ == "__main__":
    main()
