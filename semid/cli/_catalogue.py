"""`semid catalogue`: generations of codes in a folder, written, looked up and compared."""

import json
import sys

import numpy as np

from semid.cli._items import FIT_DEFAULTS, OF_A_NEW_TOKENIZER, check_fit_options, fitted, open_items, option
from semid.cli._models import load_tokenizer
from semid.io import Catalogue, read_mapping
from semid.io._mapping import checked_ids

_SHOWN = 10  # changed items in a printed difference


def catalogue(options):
    """Run the action that was asked for."""
    actions = {
        "build": _build,
        "append": _append,
        "refit": _refit,
        "look-up": _look_up,
        "diff": _diff,
        "rollback": _rollback,
    }
    actions[options.action](options)


def _build(options):
    check_fit_options(options)
    if options.codes:
        ids, codes = _mapping(options)
        made_catalogue = Catalogue.build(options.folder, ids, codes=codes)
    else:
        tokenizer = load_tokenizer(options.model)[0] if options.model else None
        file, ids = _items(options, tokenizer)
        tokenizer = tokenizer or fitted(options, file, _say)
        made_catalogue = Catalogue.build(options.folder, ids, _content(file, options), tokenizer=tokenizer)
    _report(made_catalogue.open())


def _append(options):
    there = Catalogue(options.folder)
    check_fit_options(options)
    newest = there.open()
    if options.codes:
        ids, codes = _mapping(options)
        generation = there.append(ids, codes=codes)
    else:
        file, ids = _items(options, newest.tokenizer())
        generation = there.append(ids, _content(file, options))
    if generation.number == newest.number:
        sys.stdout.write(f"nothing new: generation {newest.number} of {len(newest):,} items is the newest\n")
    else:
        _report(generation)


def _refit(options):
    there = Catalogue(options.folder)
    check_fit_options(options)
    if options.codes:
        ids, codes = _mapping(options)
        _report(there.refit(ids, codes=codes))
        return
    given = load_tokenizer(options.model)[0] if options.model else None
    asked = [name for name in (*FIT_DEFAULTS, *OF_A_NEW_TOKENIZER) if getattr(options, name) is not None]
    newest = there.open()
    known = newest.tokenizer() if newest.has_tokenizer else None
    if known is not None and asked and options.tokenizer is None:
        raise ValueError(
            f"{option(asked[0])} must come with --tokenizer: without it, the tokenizer of the catalogue is fitted "
            "anew, as it is, on all items."
        )
    file, ids = _items(options, given or known)
    if given is None and (asked or known is None):
        given = fitted(options, file, _say)
    popularity = None if options.popularity_column is None else file.column(options.popularity_column)
    _report(there.refit(ids, _content(file, options), tokenizer=given, popularity=popularity))


def _rollback(options):
    _report(Catalogue(options.folder).rollback(options.generation))


def _look_up(options):
    generation = Catalogue(options.folder).open(options.generation)
    if options.ids:
        ids = _ids_like(generation.item_ids, options.ids)
        rows = generation.codes_of(ids).tolist()
        found = {key: [code for code in row if code >= 0] or None for key, row in zip(options.ids, rows, strict=True)}
    else:
        rows = [_parsed(text) for text in options.codes]
        width = max(map(len, rows))
        padded = [row + [-1] * (width - len(row)) for row in rows]
        items = generation.items_of(padded)
        found = {key: ids.tolist() for key, ids in zip(options.codes, items, strict=True)}
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in found.items()]
    sys.stdout.write("{" + ",\n ".join(lines) + "}\n")


def _diff(options):
    there = Catalogue(options.folder)
    numbers = there.generations
    new = numbers[-1] if options.new is None else options.new
    earlier = [number for number in numbers if number < new]
    if options.old is None and not earlier:
        raise ValueError(f"generation {new} must have one before it, {there.folder} has {numbers}.")
    old = earlier[-1] if options.old is None else options.old
    diff = there.diff(old, new)
    if options.json:
        told = {"old": old, "new": new, **_counts(diff), "churn": _shares(diff.churn)}
        told["changes"] = json.loads(diff.changes.to_json(orient="records"))
        sys.stdout.write(json.dumps(told, indent=1) + "\n")
        return
    counts = ", ".join(f"{count:,} {name}" for name, count in _counts(diff).items())
    lines = [f"from generation {old} to {new}: {counts}"]
    if not np.isnan(diff.churn.items):
        by_codebook = ", ".join(f"{share:.3f}" for share in diff.churn.codes)
        lines.append(f"churn: {diff.churn.items:.3f} of the items, by codebook {by_codebook}")
    if len(diff.changes):
        lines.append(diff.changes.head(_SHOWN).to_string(index=False))
    if len(diff.changes) > _SHOWN:
        lines.append(f"... {len(diff.changes) - _SHOWN:,} more; all with --json")
    sys.stdout.write("\n".join(lines) + "\n")


def _counts(diff):
    return {"added": diff.n_added, "moved": diff.n_moved, "gone": diff.n_gone, "kept": diff.n_kept}


def _shares(churn):
    return None if np.isnan(churn.items) else {"items": churn.items, "codes": churn.codes.tolist()}


def _items(options, tokenizer):
    """Return the file of the items, and their ids."""
    file = open_items(options.items, options, tokenizer)
    return file, checked_ids(f"column {options.id_column!r} of the items", file.ids(), file.n_rows)


def _content(file, options):
    return file.sample(file.n_rows, options.batch_rows)


def _mapping(options):
    """Return ids and codes of the file; nothing that a tokenizer is asked for may be beside it."""
    if options.popularity_column is not None:
        raise ValueError("--popularity-column must be left out with --codes; Catalogue.refit takes both, in Python.")
    for name in ("model", *FIT_DEFAULTS, *OF_A_NEW_TOKENIZER, "text_columns"):
        if getattr(options, name, None) is not None:
            raise ValueError(f"{option(name)} must be left out with --codes, which are encoded already.")
    return read_mapping(options.items)


def _ids_like(known, texts):
    """Return ids that were typed as the type that the catalogue has."""
    if known.dtype.kind not in "iu":
        return texts
    try:
        return [int(text) for text in texts]
    except ValueError as error:
        raise ValueError(f"--ids must be integers, as those of the catalogue are, got {texts}.") from error


def _parsed(text):
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise ValueError(f"--codes must be integers with commas between, as in 3,9,1, got {text!r}.") from error


def _report(generation):
    about = generation.about
    counts = ", ".join(f"{count:,} {name}" for name, count in about["changes"].items())
    text = f"generation {generation.number}: {len(generation):,} items, {counts}"
    for name, of_what in (("churn", "items"), ("traffic_churn", "traffic")):
        if about["made_by"] == "refit" and about[name]:
            text += f"; churn {about[name]['items']:.3f} of the {of_what}"
    sys.stdout.write(text + "\n")


def _say(message):
    sys.stderr.write(f"semid: {message}\n")


def info_of(folder):
    """Return lines about the generations of a catalogue."""
    there = Catalogue(folder)
    newest = there.open()
    lines = [repr(newest), f"codebooks: {newest.codebook_sizes}", f"generations: {there.generations}"]
    if newest.has_tokenizer:
        lines.append(f"tokenizer: {newest.tokenizer()!r}")
    lines.append(f"written with: semid {newest.about['written_with']['semid']}")
    return lines
