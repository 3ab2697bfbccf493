"""Which runs the study makes, in stages. Primary contrasts are named here, before any run.

The whole grid of arms, models, fusions, numbers of codes, data sets and seeds has some 200,000 runs; two cores make 200
an hour. So each question gets the part of the grid that answers it:

- ``tune``: every arm, model and data set at seven codes, the same `SETTINGS` for all, on seeds that no later stage
  uses. The setting of best validation AUC goes into all later stages.
- ``primary``: is an arm of ours better than every baseline? Seeds of tokenizer and click model vary together, 0 to 9.
- ``scale``: does the number of codes help? Figures 1 to 4 and Table 1, three seeds.
- ``fusion``: does the fusion help? Table 2, three seeds.
"""

from itertools import product

import numpy as np
import pandas as pd
from arms import ARMS as EVERY_ARM
from data import NAMES
from runs import FORMER, MODELS, Run

ARMS = {name: arm for name, arm in EVERY_ARM.items() if arm.columns is not None}

N_CODES = 7
TUNING_SEEDS = (100,)
# Without content some seeds never leave the plateau where only popularity is learned. One seed may then pick a setting
# that is best by luck: the arm that all others are seen against has two.
PLATEAU_SEEDS = (100, 101)
ON_A_PLATEAU = ("none",)
# (learning rate, forgetting), the budget of every arm; of former runs (learning rate, L2 of embeddings and network).
SETTINGS = [(0.006, 1.0), (0.006, 0.5), (0.012, 2.0)]
FORMER_SETTINGS = [(0.006, 1e-4), (0.006, 2e-4), (0.012, 5e-5)]
PRIMARY_SEEDS = range(10)
SEEDS = range(3)
SCALES = (1, 2, 3, 7, 16)
CODES = "moc_aligned"  # ours that is codes alone, seen against every other arm
OURS = [name for name, arm in EVERY_ARM.items() if arm.role == "ours"]
SCALED = ("repeat_vq", "repeat_256", "rqvae", "residual", "moc", "parallel", "graded", "moc_whole", "moc_aligned")
FUSED = ("fusion", "repeat_vq", "rqvae", "moc", "graded", "moc_aligned")
FUSIONS = ("concat", "gate", "residual", "attention")


def tune(runs):
    return [
        Run("tune", data, model, arm, N_CODES, "gate", *setting, seed)
        for model, data, arm, setting in product(MODELS, NAMES, ARMS, SETTINGS)
        for seed in _tuning_seeds(arm)
    ]


def primary(runs):
    return [
        Run("primary", data, model, arm, N_CODES, "gate", *setting, seed)
        for seed, (data, model, arm), setting in _tuned(runs, PRIMARY_SEEDS)
    ]


def scale(runs):
    return [
        Run("scale", data, model, arm, n_codes, "gate", *setting, seed)
        for seed, (data, model, arm), setting in _tuned(runs, SEEDS)
        if model == "DeepFM" and arm in SCALED
        for n_codes in SCALES
    ]


def fusion(runs):
    return [
        Run("fusion", data, model, arm, N_CODES, fusion, *setting, seed)
        for seed, (data, model, arm), setting in _tuned(runs, SEEDS)
        if model == "DeepFM" and arm in FUSED
        for fusion in FUSIONS
    ]


STAGES = {"tune": tune, "primary": primary, "scale": scale, "fusion": fusion}


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
    return runs[(runs["stage"] == "tune") | np.array(is_best)]


def chosen_arm(runs, data, model):
    """Return our arm of best validation AUC in tuning, for one data set and model."""
    tuned = runs[(runs["stage"] == "tune") & (runs["data"] == data) & (runs["model"] == model)]
    return tuned[tuned["arm"].isin(OURS)].groupby("arm")["valid_auc"].max().idxmax()


def _tuned(runs, seeds):
    """Yield seeds, keys and settings: all arms of one seed before the next, so that a part is of use."""
    for seed, (key, setting) in product(seeds, best_settings(runs).items()):
        yield seed, key, setting
