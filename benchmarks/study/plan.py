"""Which runs the study makes, in stages, and what will be said of them: written before any of them is made.

The whole grid of arms, models, fusions, numbers of codes, data sets and seeds has some 200,000 runs. So each question
gets the part of the grid that answers it:

- ``references``: what ranks without a model, by the clicks of an item in training.
- ``tune``: every arm, model and data set at seven codes, the same `SETTINGS` for all, on a seed that no later stage
  uses. The setting of best validation AUC goes into all later stages, whatever their number of codes or fusion.
- ``primary``: is `CODES` better than every baseline, for each of the four models? Ten seeds, of tokenizer and click
  model together, for it and the arms of `CONTRASTS`, five for all others.
- ``scale``: does the number of codes help? Table 1 and Figures 1 to 4, all four models, five seeds.
- ``fusion``: does the fusion help? Table 2, DeepFM and DCNv2, five seeds.

**Ours wins** on a data set and model, if the mean over ten seeds of `CODES` is above that of every arm of `CONTRASTS`,
each with p < .01 in a two-sided test paired by seed, corrected by Holm over these arms. Nothing else is called better:
not the arm that tuning chose, not the best of ours. **Cold items**: by the AUC among the test's clicks on items of at
most five training clicks and negatives of as many (``matched_auc_cold``), where popularity has .5; ours wins by .015
above the best arm that is not a code. A run counts only if its validation AUC is above that of added click rates
(``rates_auc``) by `LEAST_GAIN`: others sat on a plateau where only popularity is learned, are counted, and made again
with twice the patience.
"""

from itertools import product

import numpy as np
import pandas as pd
from arms import ARMS as EVERY_ARM
from arms import REFERENCES
from data import NAMES
from runs import FORMER, MODELS, Run

ARMS = {name: arm for name, arm in EVERY_ARM.items() if arm.columns is not None}

N_CODES = 7
TUNING_SEEDS = (100,)
# Without content some seeds never leave the plateau where only popularity is learned. One seed may then pick a setting
# that is best by luck: the arm that all others are seen against has two.
PLATEAU_SEEDS = (100, 101)
ON_A_PLATEAU = ("none",)
LEAST_GAIN = 0.01
# (learning rate, forgetting), the budget of every arm; of former runs (learning rate, L2 of embeddings and network).
SETTINGS = [(0.006, 1.0), (0.003, 1.0), (0.006, 0.5)]
FORMER_SETTINGS = [(0.006, 1e-4), (0.006, 2e-4), (0.012, 5e-5)]
PRIMARY_SEEDS = range(10)  # of `CODES` and `CONTRASTS`
SEEDS = range(5)
SCALES = (1, 2, 3, 7)
MORE_CODES = (16, 32)  # of the reviewers, for DeepFM and DCNv2
CODES = "moc_aligned"  # ours that is codes alone, seen against every other arm
CONTRASTS = ("none", "wide", "sets", "adapter", "adapters_joint", "repeat_256", "pq", "moc", "rqvae", "rqvae_aligned")
OURS = [name for name, arm in EVERY_ARM.items() if arm.role == "ours"]
SCALED = ("repeat_vq", "repeat_256", "rqvae", "residual", "moc", "parallel", "graded", "moc_whole", "moc_aligned")
FUSED = ("fusion", "repeat_vq", "rqvae", "moc", "graded", "moc_aligned")
FUSED_MODELS = ("DeepFM", "DCNv2")
FUSIONS = ("concat", "gate", "residual", "attention")


def tune(runs):
    return [
        Run("tune", data, model, arm, N_CODES, "gate", *setting, seed)
        for model, data, arm, setting in product(MODELS, NAMES, ARMS, SETTINGS)
        for seed in _tuning_seeds(arm)
    ]


def references(runs):
    return [Run("references", data, "none", arm, 0, "none", 0.0, 0.0, 0) for data, arm in product(NAMES, REFERENCES)]


def primary(runs):
    return [
        Run("primary", data, model, arm, N_CODES, "gate", *setting, seed)
        for seed, (data, model, arm), setting in _tuned(runs, PRIMARY_SEEDS)
        if seed in SEEDS or arm in (CODES, *CONTRASTS)
    ]


def scale(runs):
    return [
        Run("scale", data, model, arm, n_codes, "gate", *setting, seed)
        for seed, (data, model, arm), setting in _tuned(runs, SEEDS)
        if arm in SCALED
        for n_codes in (*SCALES, *(MORE_CODES if model in FUSED_MODELS else ()))
    ]


def fusion(runs):
    return [
        Run("fusion", data, model, arm, N_CODES, fusion, *setting, seed)
        for seed, (data, model, arm), setting in _tuned(runs, SEEDS)
        if model in FUSED_MODELS and arm in FUSED
        for fusion in FUSIONS
    ]


STAGES = {"references": references, "tune": tune, "primary": primary, "scale": scale, "fusion": fusion}


def _tuning_seeds(arm):
    return PLATEAU_SEEDS if arm in ON_A_PLATEAU else TUNING_SEEDS


def tuned_columns(runs):
    """Return the two columns that were tuned, and the settings that were tried."""
    if FORMER in runs:
        return ["learning_rate", FORMER], FORMER_SETTINGS
    return ["learning_rate", "forgetting"], SETTINGS


def best_settings(runs):
    """Return the setting of best mean validation AUC per (data, model, arm), of those whose tuning is complete."""
    columns, settings = tuned_columns(runs)
    tuned = runs[runs["stage"] == "tune"]
    tuned = tuned[pd.MultiIndex.from_frame(tuned[columns]).isin(settings)]
    best = {}
    for key, tries in tuned.groupby(["data", "model", "arm"]):
        tries = tries[tries["seed"].isin(_tuning_seeds(key[2]))]
        if len(tries) == len(settings) * len(_tuning_seeds(key[2])):
            best[key] = tuple(map(float, tries.groupby(columns)["valid_auc"].mean().idxmax()))
    return best


def at_their_best(runs):
    """Return the runs of tuning, and those of later stages at the setting that tuning chose."""
    best = best_settings(runs)
    keys = zip(runs["data"], runs["model"], runs["arm"], strict=True)
    settings = runs[tuned_columns(runs)[0]].itertuples(index=False, name=None)
    is_best = [best.get(key) == setting for key, setting in zip(keys, settings, strict=True)]
    return runs[runs["stage"].isin(["references", "tune"]) | np.array(is_best)]


def chosen_arm(runs, data, model):
    """Return our arm of best validation AUC in tuning, for one data set and model."""
    tuned = runs[(runs["stage"] == "tune") & (runs["data"] == data) & (runs["model"] == model)]
    return tuned[tuned["arm"].isin(OURS)].groupby("arm")["valid_auc"].max().idxmax()


def _tuned(runs, seeds):
    """Yield seeds, keys and settings: all arms of one seed before the next, so that a part is of use."""
    for seed, (key, setting) in product(seeds, best_settings(runs).items()):
        yield seed, key, setting
