"""Which runs the study makes, in stages, and what will be said of them.

Written before the runs, but for what docs/study.md says was decided after looking.

The whole grid of arms, models, fusions, numbers of codes, data sets and seeds has some 200,000 runs. So each question
gets the part of the grid that answers it:

- ``pace``: does the short training of the study rank as the library's does, and how many runs an hour are that?
- ``references``: what ranks without a model, by the clicks of an item in training.
- ``tune``: every arm and data set at seven codes for DeepFM, the same `SETTINGS` for all, on a seed that no later stage
  uses. The setting of best validation AUC goes into all later stages, whatever their number of codes and fusion, and
  into the other models. Arms of `TUNED_FOR_EACH` have the same tuning for every model: ours, and vectors in adapters,
  which stayed on the plateau of DCNv2 and DeepIM with the rate that was best for DeepFM while adapters had no norm.
- ``reuse``: is that safe for the other arms? On Beauty the tuning of `REUSED` for each model.
- ``primary``: is `CODES` better than every baseline, for each of the four models? Ten seeds, of tokenizer and click
  model together, for it and the arms of `CONTRASTS`; for DeepFM five for all others, and for `BESIDE`.
- ``scale``: does the number of codes help? Table 1 and Figures 1 to 4, all four models, five seeds. Cells of seven
  codes are those of ``primary``, where it has them.
- ``storage``: what do codes save? `STORED` arms without the item's id and with it, DeepFM, three seeds.
- ``fusion``: does the fusion help? Table 2, DeepFM and DCNv2, five seeds, beside the gate of the stages before.

`CODES` is what sixteen attempts on the first seed of Beauty and Toys came to (docs/study.md has the log), chosen there
by validation AUC; its other seeds were run after.

**Ours wins** on a data set and model, if the mean over ten seeds of `CODES` is above that of every arm of `CONTRASTS`,
each with p < .01 in a two-sided test paired by seed, corrected by Holm over these arms. Nothing else is called better:
not the arm that tuning chose, not the best of ours. **Cold items**: by the AUC among the test's clicks on items of at
most five training clicks and negatives of as many (``matched_auc_cold``), where popularity has .5; ours wins by .015
above the best arm that is not a code. A run whose validation AUC is not above that of added click rates
(``rates_auc``) by `LEAST_GAIN` sat on a plateau where only popularity is learned: the report counts them by arm, and
draws the curves of the baselines.
"""

from itertools import product

import numpy as np
import pandas as pd
from arms import ARMS, REFERENCES
from data import NAMES
from runs import MODELS, PATIENT, SHORT, Run

N_CODES = 7
TUNING_SEEDS = (100,)
LEAST_GAIN = 0.01
SETTINGS = [(0.012, 1.0), (0.006, 1.0), (0.012, 0.5)]  # (learning rate, forgetting), the budget of every arm
TUNED = ["learning_rate", "forgetting"]
LIBRARY_SETTING = (0.006, 1.0)  # of the patient training
TUNED_MODEL = "DeepFM"
CODES = "co_clicks"  # ours that is codes alone, seen against every other arm
BESIDE = ("DCNv2", "hybrid_co_clicks")  # the same codes beside vectors, where vectors had won
TUNED_FOR_EACH = (CODES, "adapter", "adapters_joint")  # arms with a tuning for each model
REUSED = ("none", "rqvae")
PACED = ("none", "adapters_joint", "repeat_256", "pq", "rqvae", "moc", "graded", "moc_aligned", "co_clicks")
PRIMARY_SEEDS = range(10)  # of `CODES` and `CONTRASTS`
SEEDS = range(5)
SCALES = (1, 2, 3, 7)
MORE_CODES = (16, 32)  # of the reviewers, for DeepFM and DCNv2
CONTRASTS = ("none", "wide", "sets", "adapter", "adapters_joint", "repeat_256", "pq", "moc", "rqvae", "rqvae_aligned")
OURS = [name for name, arm in ARMS.items() if arm.role == "ours"]
SCALED = ("repeat_vq", "rqvae", "moc", "co_clicks")
SCALED_MORE = ("residual", "graded", "moc_aligned")  # for DeepFM alone
FUSED = ("repeat_vq", "rqvae", "moc", "co_clicks")
FUSED_MODELS = ("DeepFM", "DCNv2")
FUSIONS = ("concat", "gate", "residual", "attention")
REFUSED = ("concat",)  # for every arm of `FUSED`; the others for `CODES` alone
STORED = {"none": (0,), "hashed": (7, 16), "adapters_joint": (7,), "alone": (1, 3, 7, 16), CODES: (3, 7)}  # and numbers
TUNED_AS = {"alone": CODES, "hashed": "none"}  # arms without a tuning of their own
COUNTER_EXAMPLE = "ml100k"  # whose arms are run for DeepFM alone


def pace(runs):
    settings = {SHORT: SETTINGS[0], PATIENT: LIBRARY_SETTING}
    return [
        Run("pace", "beauty", TUNED_MODEL, arm, N_CODES, "gate", *settings[training], seed, training)
        for seed, arm, training in product(range(2), PACED, settings)
    ]


def references(runs):
    return [Run("references", data, "none", arm, 0, "none", 0.0, 0.0, 0) for data, arm in product(NAMES, REFERENCES)]


def tune(runs):
    return [
        Run("tune", data, model, arm, N_CODES, "gate", *setting, seed)
        for model, data, arm, setting, seed in product(MODELS, NAMES, ARMS, SETTINGS, TUNING_SEEDS)
        if not ARMS[arm].without and (model == TUNED_MODEL or (arm in TUNED_FOR_EACH and data != COUNTER_EXAMPLE))
    ]


def reuse(runs):
    others = [model for model in MODELS if model != TUNED_MODEL]
    return [
        Run("reuse", "beauty", model, arm, N_CODES, "gate", *setting, seed)
        for model, arm, setting, seed in product(others, REUSED, SETTINGS, TUNING_SEEDS)
    ]


def primary(runs):
    return [
        Run("primary", data, model, arm, N_CODES, "gate", *setting, seed)
        for seed, model, (data, arm), setting in _tuned(runs, PRIMARY_SEEDS)
        if (arm in (CODES, *CONTRASTS) or (seed in SEEDS and (model == TUNED_MODEL or (model, arm) == BESIDE)))
        and (model == TUNED_MODEL or data != COUNTER_EXAMPLE)
        and (seed in SEEDS or data != COUNTER_EXAMPLE)
    ]


def scale(runs):
    primary_arms = (CODES, *CONTRASTS)
    return [
        Run("scale", data, model, arm, n_codes, "gate", *setting, seed)
        for seed, model, (data, arm), setting in _tuned(runs, SEEDS)
        for n_codes in _scales(model, data, arm)
        if n_codes != N_CODES or (arm not in primary_arms and model != TUNED_MODEL)
    ]


def fusion(runs):
    return [
        Run("fusion", data, model, arm, N_CODES, fusion, *setting, seed)
        for seed, model, (data, arm), setting in _tuned(runs, SEEDS)
        if model in FUSED_MODELS and arm in FUSED and data != COUNTER_EXAMPLE
        for fusion in FUSIONS
        if fusion in REFUSED or (arm == CODES and fusion != "gate")
    ]


def storage(runs):
    settings = best_settings(runs)
    return [
        Run("storage", data, TUNED_MODEL, arm, n_codes, "gate", *settings[key], seed)
        for seed, data, (arm, numbers) in product(range(3), NAMES, STORED.items())
        for key in [(data, TUNED_MODEL, TUNED_AS.get(arm, arm))]
        for n_codes in numbers
        if key in settings and data != COUNTER_EXAMPLE
    ]


STAGES = {stage.__name__: stage for stage in (pace, references, tune, reuse, primary, scale, storage, fusion)}


def _scales(model, data, arm):
    """Return the numbers of codes of an arm, for one model and data set."""
    if arm in SCALED_MORE:
        return SCALES if model == TUNED_MODEL and data != COUNTER_EXAMPLE else ()
    if arm not in SCALED or (data == COUNTER_EXAMPLE and model != TUNED_MODEL):
        return ()
    has_more = arm == CODES and model in FUSED_MODELS and data != COUNTER_EXAMPLE
    return (*SCALES, *MORE_CODES) if has_more else SCALES


def best_settings(runs):
    """Return the setting of best mean validation AUC per (data, model, arm), of those whose tuning is complete."""
    tuned = runs[(runs["stage"] == "tune") & pd.MultiIndex.from_frame(runs[TUNED]).isin(SETTINGS)]
    own = {
        key: tuple(map(float, tries.groupby(TUNED)["valid_auc"].mean().idxmax()))
        for key, tries in tuned.groupby(["data", "model", "arm"])
        if len(tries) == len(SETTINGS) * len(TUNING_SEEDS)
    }
    best = {}
    for model, data, arm in product(MODELS, NAMES, ARMS):
        tuned_for = model if arm in TUNED_FOR_EACH and data != COUNTER_EXAMPLE else TUNED_MODEL
        if (data, tuned_for, arm) in own:
            best[data, model, arm] = own[data, tuned_for, arm]
    return best


def at_their_best(runs):
    """Return the runs of tuning, and those of later stages at the setting that tuning chose."""
    best = best_settings(runs)
    keys = runs[["data", "model", "arm"]].itertuples(index=False, name=None)
    settings = runs[TUNED].itertuples(index=False, name=None)
    is_best = [best.get(key) == setting for key, setting in zip(keys, settings, strict=True)]
    return runs[~runs["stage"].isin(["primary", "scale", "fusion"]) | np.array(is_best, dtype=bool)]


def chosen_arm(runs, data, among):
    """Return that of our arms `among` some which is best on validation in tuning, for one data set; None of none."""
    of_ours = (runs["data"] == data) & (runs["model"] == TUNED_MODEL) & runs["arm"].isin(set(OURS) & set(among))
    tuned = runs[(runs["stage"] == "tune") & of_ours]
    return tuned.groupby("arm")["valid_auc"].max().idxmax() if len(tuned) else None


def _tuned(runs, seeds):
    """Yield seeds, models, keys and settings: all arms of one seed before the next, so that a part is of use."""
    for seed, ((data, model, arm), setting) in product(seeds, best_settings(runs).items()):
        yield seed, model, (data, arm), setting
