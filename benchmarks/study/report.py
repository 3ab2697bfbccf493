"""Tables and figures of the study, from the runs that were made. Nothing here fits anything."""

from itertools import product
from pathlib import Path
from textwrap import fill

import numpy as np
import pandas as pd
from arms import ARMS, EMBEDDING_DIM, REFERENCES
from contrasts import bootstrap_aucs, holm, paired_contrasts
from data import N_ITEMS, NAMES, load
from plan import (
    CODES,
    CONTRASTS,
    FUSED,
    FUSED_MODELS,
    FUSIONS,
    LEAST_GAIN,
    MORE_CODES,
    N_CODES,
    OURS,
    PRIMARY_SEEDS,
    SCALED,
    SCALED_MORE,
    SCALES,
    SETTINGS,
    TUNED,
    TUNED_MODEL,
    at_their_best,
    best_settings,
    chosen_arm,
)
from records import markdown_table, publish
from runs import MODELS, PATIENT, SHORT, Run, file_name

from semid.plots import Curve, ReconstructionDisplay, ScalingDisplay, SpectrumDisplay

TITLES = {"beauty": "Amazon Beauty", "toys": "Amazon Toys", "ml100k": "MovieLens 100K"}
NOT_CODES = ("none", "fusion", "wide", "sets", "adapter", "adapters", "adapters_joint", "adapters_co_clicks")
NOT_OF_TEXTS = ("co_clicks", "graded_joint", "alone")  # codes whose R² is of other vectors
SPECTRA = ("repeat_vq", "rqvae", "moc", "co_clicks")  # Figure 4
_SPECTRUM_LEGEND = "codes: information abundance / effective rank"
_OF_CODES_ALONE = ("reconstruction",)  # figures that no click model has a part in
INTERVALS = "intervals.parquet"  # over users, beside the runs
# The arms that a reader chooses among, in the words of somebody who has not read the study.
IN_BRIEF = {
    "none": "no codes",
    "adapter": "the embedding itself, through an MLP adapter",
    "adapters_joint": "embeddings of text and of clicks, through an MLP adapter, 448 floats",
    "repeat_256": "one k-means code, repeated seven times",
    "moc": "Mixture-of-Codes with projections, as in the scripts of the paper, 7 codes",
    "rqvae": "RQ-VAE, 7 codes",
    "rqvae_aligned": "RQ-VAE, 7 codes, aligned with clicks",
    "graded": "parallel k-means, 7 codes of graded sizes",
    "moc_aligned": "Mixture-of-Codes for ranking (`presets.ranking()`), 7 codes, aligned with clicks",
    "co_clicks": "codes of co-click embeddings (`presets.co_clicks()`), 7 codes",
    "hybrid_co_clicks": "the same beside the embeddings of text and of clicks",
}


def write_report(store, pages=(), images=None):
    """Write every table into its places on the `pages`, and every figure into the folder `images`."""
    for name, text in markdown_tables(store).items():
        print(f"{name}\n\n{text}\n")
        for page in pages:
            if f"<!-- study_{name}: begin -->" in Path(page).read_text():
                publish(text, f"study_{name}", page, quiet=True)
    if images is not None:
        draw_figures(_reported(store), Path(images))


def markdown_tables(store):
    """Return every table of the study by name, as it stands on a page."""
    intervals = store.parquet.with_name(INTERVALS)
    by_users = intervals_table(pd.read_parquet(intervals)) if intervals.exists() else []
    found = tables(_reported(store)) | {"intervals": by_users}
    return {name: markdown_table(table) if table else "*To be run.*" for name, table in found.items()}


def _reported(store):
    runs = at_their_best(store.frame().sort_values(list(Run._fields), kind="stable", ignore_index=True))
    return runs.assign(r2=runs["r2"].mask(runs["arm"].isin(NOT_OF_TEXTS))) if "r2" in runs else runs


def tables(runs):
    """Return the tables of the study by name, each a list of dicts of strings."""
    return {
        "brief": brief_table(runs),
        "pace": pace_table(runs),
        "reuse": reuse_table(runs),
        "claims": claims_table(runs),
        "primary": primary_table(runs),
        "contrasts": contrasts_table(runs),
        "arms": arms_table(runs, "auc"),
        "matched": arms_table(runs, "matched_auc"),
        "matched_cold": arms_table(runs, "matched_auc_cold"),
        "cold": arms_table(runs, "auc_cold"),
        "popularity": popularity_table(runs),
        "gauc": arms_table(runs, "gauc"),
        "log_loss": arms_table(runs, "log_loss"),
        "why": why_table(runs),
        "table1": scale_table(runs, "auc"),
        "discriminability": scale_table(runs, "nmi"),
        "robustness": scale_table(runs, "information_abundance"),
        "table2": fusion_table(runs),
        "storage": storage_table(runs),
        "plateaus": plateaus_table(runs),
        "settings": settings_table(runs),
    }


def brief_table(runs):
    """The arms of `IN_BRIEF`, DeepFM and seven codes: what README and the guide show."""
    if "matched_auc_cold" not in runs:
        return []
    means = {}
    for data, title in (("beauty", "Beauty"), ("toys", "Toys")):
        some = _of(runs, "primary", data, TUNED_MODEL)
        if len(some):
            scores = some.groupby("arm")[["auc", "matched_auc_cold", "log_loss"]].mean()
            means |= {f"{title}: AUC": scores["auc"], f"{title}: cold items": scores["matched_auc_cold"]}
            means |= {f"{title}: log loss": scores["log_loss"]}
    rows = []
    for arm, words in IN_BRIEF.items():
        if all(arm in column for column in means.values()):
            rows.append({"": words, **{title: f"{column[arm]:.3f}" for title, column in means.items()}})
    return rows


def pace_table(runs):
    """The study's short training beside the library's: DeepFM on Beauty, the same arms and seeds."""
    paced = runs[runs["stage"] == "pace"]
    both = paced.groupby(["arm", "seed"])["training"].transform("nunique") == 2
    paced, rows = paced[both], []
    for arm in paced["arm"].unique():
        row = {"arm": ARMS[arm].label}
        for training in (PATIENT, SHORT):
            some = paced[(paced["arm"] == arm) & (paced["training"] == training)]
            row |= {
                f"AUC, {training}": f"{some['auc'].mean():.4f}",
                f"seconds, {training}": f"{some['run_seconds'].mean():.1f}",
            }
        rows.append(row)
    if rows:
        means = paced.groupby("training")[["auc", "run_seconds"]].mean()
        row = {"arm": "**mean; runs an hour in two processes**"}
        for training in (PATIENT, SHORT):
            auc, seconds = means.loc[training]
            row |= {
                f"AUC, {training}": f"{auc:.4f}",
                f"seconds, {training}": f"{seconds:.1f}; **{2 * 3600 / seconds:.0f}**",
            }
        rows.append(row)
    return rows


def reuse_table(runs):
    """What another model loses, in validation AUC, by the setting that DeepFM chose."""
    best, rows = best_settings(runs), []
    tuned = runs[runs["stage"].isin(["reuse", "tune"]) & (runs["model"] != TUNED_MODEL)]
    for (data, arm, model), some in tuned.groupby(["data", "arm", "model"], sort=False):
        by_setting = some.groupby(TUNED)["valid_auc"].mean()
        reused = best.get((data, TUNED_MODEL, arm))
        if len(by_setting) == len(SETTINGS) and reused is not None:
            rows.append(
                {
                    "data": TITLES[data],
                    "arm": ARMS[arm].label,
                    "model": model,
                    "own best": f"{by_setting.max():.4f}",
                    f"setting of {TUNED_MODEL}": f"{by_setting[reused]:.4f}",
                    "lost": f"{by_setting.max() - by_setting[reused]:.4f}",
                }
            )
    return rows


def claims_table(runs):
    """`CODES` against the contrasts that the plan names: whether p < .01 for all of them.

    On cold items, by matched negatives, against the best arm that is not a code.
    """
    rows = []
    for data, model in product(NAMES, MODELS):
        some = _of(runs, "primary", data, model)
        others = [arm for arm in CONTRASTS if arm in set(some["arm"])]
        if "matched_auc_cold" not in some or CODES not in set(some["arm"]) or not others:
            continue
        contrasts = paired_contrasts(some, CODES, others).assign(p=lambda table: holm(table["p"]))
        closest = contrasts.loc[contrasts["difference"].idxmin()]
        is_whole = len(others) == len(CONTRASTS) and contrasts["n_seeds"].min() == len(PRIMARY_SEEDS)
        is_better = (contrasts["difference"] > 0).all() and (contrasts["p"] < 0.01).all()
        cold = paired_contrasts(some, CODES, sorted(set(some["arm"]) & set(NOT_CODES)), score="matched_auc_cold")
        hardest = cold.loc[cold["difference"].idxmin()] if cold["difference"].notna().any() else None
        rows.append(
            {
                "data": TITLES[data],
                "model": model,
                "AUC": _mean(some, CODES),
                "no codes": _mean(some, "none"),
                "closest contrast": ARMS[closest["arm"]].label,
                "its AUC": _mean(some, closest["arm"]),
                "difference": _difference(closest),
                "largest p (Holm)": _p_value(contrasts["p"].max(skipna=False)),
                "fewest seeds": f"{contrasts['n_seeds'].min():.0f}",
                "wins": ("yes" if is_better else "no") if is_whole else "not all run",
                "cold items, to the best that is no code": "-"
                if hardest is None
                else f"{hardest['difference']:+.3f} ({ARMS[hardest['arm']].label})",
            }
        )
    return rows


def primary_table(runs):
    """Ours, chosen on validation, against every other arm: the hardest of the contrasts, corrected for their number.

    One family of questions per data set and model: is ours better than each of the baselines and controls?
    """
    rows = []
    for data, model in product(NAMES, MODELS):
        some = _of(runs, "primary", data, model)
        if some.empty:
            continue
        ours = chosen_arm(runs, data, some["arm"])
        if ours is None:
            continue
        others = [arm for arm in ARMS if arm not in OURS and arm in set(some["arm"])]
        contrasts = paired_contrasts(some, ours, others).assign(p=lambda table: holm(table["p"]))
        closest = contrasts.loc[contrasts["difference"].idxmin()]
        humble = [arm for arm in ("none", "repeat_256") if arm in others]
        cold = paired_contrasts(some, ours, humble, score="auc_cold")["difference"]
        rows.append(
            {
                "data": TITLES[data],
                "model": model,
                "ours": ARMS[ours].label,
                "AUC": _mean(some, ours),
                "no codes": _mean(some, "none"),
                "closest other arm": ARMS[closest["arm"]].label,
                "its AUC": _mean(some, closest["arm"]),
                "difference": _difference(closest),
                "seeds": f"{closest['n_seeds']:.0f}",
                "largest p (Holm)": _p_value(contrasts["p"].max(skipna=False)),
                "cold items: to no codes, to one code repeated": " / ".join(cold.map("{:+.3f}".format)),
            }
        )
    return rows


def contrasts_table(runs):
    """The codes of ours against every other arm: mean difference, pairs of seeds, p corrected for their number."""
    cells = {}
    for data, model in product(NAMES, MODELS):
        some = _of(runs, "primary", data, model)
        if CODES not in set(some["arm"]):
            continue
        others = [arm for arm in ARMS if arm not in OURS and arm in set(some["arm"])]
        contrasts = paired_contrasts(some, CODES, others)
        for row in contrasts.assign(p=holm(contrasts["p"])).itertuples():
            cell = f"{row.difference:+.4f} ({row.n_seeds}, {_p_value(row.p)})"
            cells.setdefault(row.arm, {})[f"{TITLES[data]}, {model}"] = cell
    columns = list(dict.fromkeys(column for row in cells.values() for column in row))
    return [
        {"other arm": ARMS[arm].label, **{column: cells[arm].get(column, "-") for column in columns}}
        for arm in ARMS
        if arm in cells
    ]


def intervals_table(intervals):
    """95 % intervals, over users, of our AUC less that of each other arm."""
    return [
        {
            "data": TITLES[row.data],
            "model": row.model,
            "other arm": ARMS[row.arm].label,
            "seeds": f"{row.n_seeds:.0f}",
            "ours less its AUC, over users": f"{row.low:+.4f} to {row.high:+.4f}",
        }
        for row in intervals.sort_values(["data", "model", "low"]).itertuples()
    ]


def arms_table(runs, score):
    """Mean and, in small, standard deviation over seeds of every arm; one column per data set and model."""
    primary = runs[runs["stage"] == "primary"]
    if score not in runs:
        return []
    rows = []
    for name, arm in ARMS.items():
        row = {"arm": f"**{arm.label}**" if arm.role == "ours" else arm.label}
        for data, model in product(NAMES, MODELS):
            some = _of(primary, "primary", data, model)
            if not some.empty:
                values = some.loc[some["arm"] == name, score].dropna()
                row[f"{TITLES[data]}, {model}"] = _mean_and_deviation(values)
        if set(row.values()) - {row["arm"], "-"}:
            rows.append(row)
    return [*rows, *_reference_rows(runs, score, rows[0])] if rows else []


def _reference_rows(runs, score, columns):
    """Return what needs no model, the same for all models, as rows of the `columns`."""
    references = runs[runs["stage"] == "references"]
    values = {key: some.iloc[0] for key, some in references.groupby(["arm", "data"])[score]}
    rows = []
    for name, reference in REFERENCES.items():
        row = {"arm": reference.label}
        for data, model in product(NAMES, MODELS):
            if f"{TITLES[data]}, {model}" in columns:
                value = values.get((name, data), np.nan)
                row[f"{TITLES[data]}, {model}"] = "-" if np.isnan(value) else f"{value:.4f}"
        rows.append(row)
    return rows if len(references) else []


def why_table(runs):
    """What the codes of each arm are like, beside the AUC: DeepFM, seven codes."""
    primary = runs[(runs["stage"] == "primary") & (runs["model"] == "DeepFM") & runs["cluster_r2"].notna()]
    rows = []
    for data, (name, arm) in product(NAMES, ARMS.items()):
        some = primary[(primary["data"] == data) & (primary["arm"] == name)]
        if not some.empty:
            rows.append(
                {
                    "data": TITLES[data],
                    "codes": arm.label,
                    "variance that one code explains": f"{some['cluster_r2'].mean():.3f}",
                    "R² of all": f"{some['r2'].mean():.3f}" if some["r2"].notna().any() else "-",
                    "items without codes of their own": f"{some['collision_rate'].mean():.3f}",
                    "AUC": f"{some['auc'].mean():.4f}",
                    "AUC, cold items": f"{some['auc_cold'].mean():.4f}",
                }
            )
    return rows


def scaled_runs(runs):
    """Return the runs of arms at several numbers of codes; those of `N_CODES` are of the stage ``primary``."""
    scaled = runs[runs["arm"].isin([*SCALED, *SCALED_MORE])]
    other = scaled[(scaled["stage"] == "scale") & (scaled["n_codes"] != N_CODES)]
    keys = set(other[["data", "model", "arm"]].itertuples(index=False, name=None))
    has_others = [key in keys for key in scaled[["data", "model", "arm"]].itertuples(index=False, name=None)]
    scaled = scaled[np.array(has_others, dtype=bool) & scaled["stage"].isin(["primary", "scale"])]
    # Each at the seeds that all of its numbers of codes have.
    n_numbers = scaled.groupby(["data", "model", "arm"])["n_codes"].transform("nunique")
    return scaled[scaled.groupby(["data", "model", "arm", "seed"])["n_codes"].transform("nunique") == n_numbers]


def scale_table(runs, score):
    """Table 1: a score of each method at each number of codes, for each model."""
    scaled = scaled_runs(runs)
    if score not in scaled:
        return []
    scaled = scaled[scaled[score].notna()]
    scales = [n for n in (*SCALES, *MORE_CODES) if n in set(scaled["n_codes"])]
    rows = []
    for data, model, arm in product(NAMES, MODELS, (*SCALED, *SCALED_MORE)):
        some = scaled[(scaled["data"] == data) & (scaled["model"] == model) & (scaled["arm"] == arm)]
        if not some.empty:
            means = {f"{n}x": _mean_and_deviation(some.loc[some["n_codes"] == n, score]) for n in scales}
            rows.append({"data": TITLES[data], "model": model, "method": ARMS[arm].label, **means})
    return rows


def fusion_table(runs):
    """Table 2: each method with each fusion, seven codes; the gate's runs are those of the stages before."""
    has_codes = runs["stage"].isin(["primary", "scale", "fusion"]) & (runs["n_codes"] == N_CODES)
    rows = []
    for data, model, arm in product(NAMES, FUSED_MODELS, FUSED):
        some = runs[has_codes & (runs["data"] == data) & (runs["model"] == model) & (runs["arm"] == arm)]
        n_fusions = some["fusion"].nunique()
        some = some[some.groupby("seed")["fusion"].transform("nunique") == n_fusions]
        if n_fusions > 1:
            means = {f: _mean_and_deviation(some.loc[some["fusion"] == f, "auc"]) for f in FUSIONS}
            rows.append({"data": TITLES[data], "model": model, "method": ARMS[arm].label, **means})
    return rows


def popularity_table(runs):
    """AUC by popularity of the items, DeepFM and seven codes: each third of the training clicks has its items."""
    if "auc_head" not in runs:
        return []
    rows = []
    for data, (name, arm) in product(NAMES, ARMS.items()):
        some = _of(runs, "primary", data, TUNED_MODEL)
        some = some[some["arm"] == name]
        if not some.empty:
            aucs = {part: _mean_and_deviation(some[f"auc_{part}"]) for part in ("head", "middle", "tail")}
            rows.append({"data": TITLES[data], "arm": arm.label, **aucs})
    return rows


def storage_table(runs):
    """What the items cost and what they reach, DeepFM: rows of embedding tables, and bytes with what lies beside them.

    A row has an embedding and a first-order weight in float32.
    """
    stored = runs[runs["stage"] == "storage"].sort_values(["data", "arm", "n_codes"])
    rows = []
    for (data, arm, n_codes), some in stored.groupby(["data", "arm", "n_codes"], sort=False):
        n_rows, beside = some["item_rows"].iloc[0], some["bytes_per_item"].iloc[0] * N_ITEMS[data]
        rows.append(
            {
                "data": TITLES[data],
                "arm": ARMS[arm].label,
                "codes": str(n_codes or "-"),
                "rows of embeddings": f"{n_rows:,.0f}",
                "kB in all": f"{(n_rows * 4 * (EMBEDDING_DIM + 1) + beside) / 1000:,.0f}",
                "AUC": _mean_and_deviation(some["auc"]),
                "AUC, cold items": _mean_and_deviation(some["matched_auc_cold"]),
            }
        )
    return rows


def plateaus_table(runs):
    """How many runs of each arm ended on the plateau where only what is popular is learned, by their held-out AUC."""
    trained = runs[runs["stage"].isin(["primary", "scale", "fusion"])]
    if trained.empty:
        return []
    stayed = trained["valid_auc"] < trained["rates_auc"] + LEAST_GAIN
    rows = []
    for data, (name, arm) in product(NAMES, ARMS.items()):
        of = (trained["data"] == data) & (trained["arm"] == name)
        if stayed[of].any():
            rows.append(
                {"data": TITLES[data], "arm": arm.label, "runs": f"{of.sum()}", "on the plateau": f"{stayed[of].sum()}"}
            )
    return rows or [{"data": "all", "arm": "all", "runs": f"{len(trained)}", "on the plateau": "0"}]


def settings_table(runs):
    """Validation AUC of each arm at each setting of the tuning, DeepFM."""
    tuned = runs[(runs["stage"] == "tune") & (runs["model"] == "DeepFM")]
    rows = []
    for data, (name, arm) in product(NAMES, ARMS.items()):
        tries = tuned[(tuned["data"] == data) & (tuned["arm"] == name)]
        if not tries.empty:
            of = tries.set_index(TUNED)["valid_auc"]
            scores = {
                f"{rate:g}, {strength:g}": f"{of[rate, strength].mean():.4f}" if (rate, strength) in of.index else "-"
                for rate, strength in SETTINGS
            }
            rows.append({"data": TITLES[data], "arm": arm.label, **scores})
    return rows


def draw_figures(runs, folder):
    """Draw the arms side by side, and Figures 1, 2 and 4 of the paper, a file per data set."""
    folder.mkdir(parents=True, exist_ok=True)
    for data in NAMES:
        primary = _of(runs, "primary", data, "DeepFM")
        if len(primary):
            figures = {"arms": arms_figure(primary), "curves": curves_figure(primary)}
            _save(figures, folder, data)
        some = scaled_runs(runs)
        some = some[(some["data"] == data) & (some["model"] == "DeepFM")]
        if some.empty:
            continue
        some = some.assign(method=some["arm"].map(lambda arm: ARMS[arm].label), error=1 - some["r2"])
        figures = {"reconstruction": reconstruction_figure(some)} if some["error"].notna().any() else {}
        figures |= {
            "scaling": scaling_figure(some, _of(runs, "primary", data, "DeepFM"), "auc"),
            "cold": scaling_figure(some, _of(runs, "primary", data, "DeepFM"), _cold_score(some)),
        }
        if set(SPECTRA) & set(some["arm"]):
            figures["spectrum"] = spectrum_figure(some)
        _save(figures, folder, data)


def _save(figures, folder, data):
    for name, figure in figures.items():
        title = TITLES[data] if name in _OF_CODES_ALONE else f"{TITLES[data]}, DeepFM"
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
        figure.savefig(folder / f"{data}_{name}.png", dpi=130, bbox_inches="tight")


def arms_figure(runs):
    """Every arm's test AUC, each seed a dot and the mean a line: all items on the left, cold ones on the right."""
    import matplotlib.pyplot as plt

    order = runs.groupby("arm")["auc"].mean().sort_values().index
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 0.27 * len(order) + 1), sharey=True, layout="constrained")
    cold = "test AUC, items of at most 5 training clicks"
    for ax, score, label in zip(axes, ("auc", _cold_score(runs)), ("test AUC", cold), strict=True):
        for place, arm in enumerate(order):
            values = runs.loc[runs["arm"] == arm, score]
            color = "#0072B2" if arm in OURS else "#777777"
            ax.plot(values, np.full(len(values), place), "o", color=color, markersize=4, alpha=0.5)
            ax.plot(values.mean(), place, "|", color=color, markersize=13, markeredgewidth=2)
        ax.set_xlabel(label)
        ax.grid(axis="y", color="0.92")
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(range(len(order)), [ARMS[arm].label for arm in order], fontsize="small")
    for tick, arm in zip(axes[0].get_yticklabels(), order, strict=True):
        tick.set_fontweight("bold" if arm in OURS else "normal")
    return figure


def curves_figure(runs):
    """Validation AUC by epoch of every arm that is not ours, a line per seed: whether a baseline has been trained."""
    import matplotlib.pyplot as plt

    baselines = [arm for arm in ARMS if arm not in OURS and arm in set(runs["arm"])]
    n_columns = 4
    figure, axes = plt.subplots(
        -(-len(baselines) // n_columns),
        n_columns,
        figsize=(12, 2.2 * -(-len(baselines) // n_columns)),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax in axes.flat[len(baselines) :]:
        ax.set_axis_off()
    for ax, arm in zip(axes.flat, baselines, strict=False):
        for run in runs[runs["arm"] == arm].itertuples():
            ax.plot(np.arange(1, len(run.valid_aucs) + 1), run.valid_aucs, color="#0072B2", alpha=0.5)
            ax.axhline(run.rates_auc, color="#777777", linestyle=":")
        ax.set_title(fill(ARMS[arm].label, 34), fontsize="small")
        ax.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("epoch")
    figure.supylabel("validation AUC (dotted: click rates, added up)")
    return figure


def reconstruction_figure(runs):
    """Figure 1: what is lost of the embeddings, against the number of codes."""
    values = {}
    for method, some in runs[~runs["arm"].str.startswith("repeat")].groupby("method", sort=False):
        errors = some.pivot_table(index="n_codes", columns="seed", values="error").dropna(axis=1)
        if errors.empty:  # codes of other vectors than the embeddings
            continue
        values[method] = errors.index.to_numpy(), errors.to_numpy()
    return ReconstructionDisplay.from_values(values).plot().figure_


def scaling_figure(runs, primary, score):
    """Figure 2: a score of the click model against the number of codes."""
    import matplotlib.pyplot as plt

    baseline = None
    without = primary.loc[(primary["arm"] == "none") & primary["seed"].isin(runs["seed"]), score]
    if len(without):
        baseline = Curve(
            np.array([0.0]), np.array([without.mean()]), np.array([without.sem()]), np.array([len(without)])
        )
    curves = ScalingDisplay.from_runs(runs, x="n_codes", y=score).curves
    label = {
        "auc": "test AUC",
        "auc_cold": "test AUC, items of at most 5 training clicks",
        "matched_auc_cold": "test AUC, items of at most 5 training clicks,\nnegatives of as many",
    }[score]
    figure, ax = plt.subplots(figsize=(7, 5.2), layout="constrained")
    ScalingDisplay(curves, x_label="number of codes", y_label=label, baseline=baseline).plot(ax)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)  # over no curve
    return figure


def spectrum_figure(runs):
    """Figure 4: spectra of the fused code embeddings, one panel per method, a line per number of codes."""
    import matplotlib.pyplot as plt

    methods = [arm for arm in SPECTRA if arm in set(runs["arm"])]
    figure, axes = plt.subplots(
        -(-len(methods) // 2),
        2,
        figsize=(9, 3.6 * -(-len(methods) // 2)),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax in axes.flat[len(methods) :]:
        ax.set_axis_off()
    first_seed = runs[runs["seed"] == runs["seed"].min()]
    for ax, arm in zip(axes.flat, methods, strict=False):
        some = first_seed[first_seed["arm"] == arm].sort_values("n_codes")
        names = [f"{n}x" for n in some["n_codes"]]
        display = SpectrumDisplay(
            dict(zip(names, map(np.asarray, some["spectrum"]), strict=True)),
            dict(zip(names, some["information_abundance"], strict=True)),
            dict(zip(names, some["effective_rank"], strict=True)),
            normalize=True,
        )
        display.plot(ax)
        ax.set_title(ARMS[arm].label, fontsize="medium")
        if ax not in axes[:, 0]:
            ax.set_ylabel("")  # panels share this axis, and not the other: methods have codes of up to another number
        legend = {"ncols": 2, "fontsize": "small", "frameon": False, "title_fontsize": "small"}
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.19), title=_SPECTRUM_LEGEND, **legend)  # over no curve
    return figure


def bootstrap_primary(store, folder, predictions):
    """Write intervals over users, ours less each contrast, of the mean prediction of the seeds whose files are here."""
    runs = at_their_best(store.frame())
    path = store.parquet.with_name(INTERVALS)
    kept = pd.read_parquet(path) if path.exists() else pd.DataFrame(columns=["data", "model"])
    rows = []
    for name, model in product(NAMES, MODELS):
        files = _kept_predictions(_of(runs, "primary", name, model), predictions)
        if CODES not in files:
            continue  # made on another machine: its intervals stay as they are
        mean = {arm: np.mean([np.load(file) for file in of_arm], axis=0) for arm, of_arm in files.items()}
        others = [arm for arm in mean if arm != CODES]
        test = load(name, folder).test
        aucs = bootstrap_aucs(test["click"], [mean[CODES], *(mean[arm] for arm in others)], test["user_id"])
        kept = kept[(kept["data"] != name) | (kept["model"] != model)]
        for arm, (low, high) in zip(others, interval_of_differences(aucs), strict=True):
            seen = {"data": name, "model": model, "ours": CODES, "arm": arm, "n_seeds": len(files[arm])}
            rows.append({**seen, "low": low, "high": high})
            print(rows[-1], flush=True)
    if rows:
        pd.concat([kept, pd.DataFrame(rows)], ignore_index=True).to_parquet(path, index=False)


def _kept_predictions(runs, predictions):
    """Return the files by arm, of `CODES` and of each contrast, for the seeds of which all are in `predictions`."""
    runs = runs[runs["arm"].isin([CODES, *CONTRASTS])]
    runs = runs.assign(file=[Path(predictions) / file_name(run) for run in _as_runs(runs)])
    is_here = np.array([file.exists() for file in runs["file"]], dtype=bool)
    n_kept = runs[is_here].groupby("seed")["arm"].nunique()
    complete = n_kept.index[n_kept == runs["arm"].nunique()]
    return {arm: list(group["file"]) for arm, group in runs[runs["seed"].isin(complete)].groupby("arm")}


def interval_of_differences(aucs):
    """Return the 95 % interval of the first column's difference to each other one, (n_others, 2)."""
    return np.quantile(aucs[:, :1] - aucs[:, 1:], [0.025, 0.975], axis=0).T


def _as_runs(frame):
    return [Run(*entries) for entries in frame[list(Run._fields)].itertuples(index=False, name=None)]


def _of(runs, stage, data, model):
    is_wanted = (runs["stage"] == stage) & (runs["data"] == data) & (runs["model"] == model)
    return runs[is_wanted & (runs["n_codes"] == N_CODES)]


def _cold_score(runs):
    """Return the score for cold items: by matched negatives, where the data set has them."""
    name = "matched_auc_cold"
    return name if name in runs and runs[name].notna().any() else "auc_cold"


def _mean(runs, arm):
    return f"{runs.loc[runs['arm'] == arm, 'auc'].mean():.4f}"


def _mean_and_deviation(values):
    if len(values) == 0:
        return "-"
    return f"{values.mean():.4f}" + (f" ± {values.std(ddof=1):.4f}" if len(values) > 1 else "")


def _difference(contrast):
    if np.isnan(contrast["standard_error"]):  # of one seed
        return f"{contrast['difference']:+.4f}"
    return f"{contrast['difference']:+.4f} ± {contrast['standard_error']:.4f}"


def _p_value(p):
    if np.isnan(p):
        return "not all run"
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}"
