"""Arguments, and how each command ends."""

from __future__ import annotations

import argparse
import importlib
import sys
import warnings
from collections.abc import Sequence

from semid import __version__

TOKENIZERS = {
    "fsq": "FSQTokenizer",
    "kmeans": "ParallelKMeansTokenizer",
    "moc": "MixtureOfCodesTokenizer",
    "pq": "ProductQuantizationTokenizer",
    "ranking": "ranking",  # a preset
    "residual-kmeans": "ResidualKMeansTokenizer",
    "rqvae": "RQVAETokenizer",
    "vqvae": "VQVAETokenizer",
}
MAX_JOBS = 8  # as many as one reader keeps busy, with room
_DONE, _FAILED, _INTERRUPTED = 0, 1, 130  # argparse ends with 2 where it does not understand

_TOKENIZE = """\
Learn a tokenizer from a file of embeddings, or of texts, and write the codes of all items.

Embeddings are read in pieces, so that they may be larger than the memory: the tokenizer is fitted on --fit-rows of
them, spread over the file, and then gives codes to one batch after the other. Texts, in --text-columns of a .jsonl,
.csv or .parquet file, are read whole, and become embeddings by TextEmbedder first. With --model no tokenizer is
fitted, that of the folder is used; with --save the fitted one is kept for items that come later.
"""
_AUDIT = """\
Print what is right and wrong with a mapping from items to codes, of this or any other project: collisions at every
prefix, use of each codebook, redundancy, with --embeddings the neighbours that codes keep, and with --interactions what
they are worth for the traffic there is. --html writes it as a page; --compare puts another file beside it.
"""
_CATALOGUE = """\
Keep the codes of all items in generations: a folder that consumers read, in which no published ID moves but by a refit
or a rollback.
"""
_EXAMPLES = """\
examples:
  semid tokenize embeddings.npy codes.parquet --tokenizer moc --n-codebooks 7 --save model
  semid tokenize new.parquet new_codes.parquet --model model
  semid tokenize items.jsonl codes.parquet --text-columns title,brand --save model
  semid audit codes.parquet --embeddings embeddings.npy
  semid audit codes.parquet --embeddings embeddings.npy --interactions log.csv --items items.parquet --html report.html
  semid info model
  semid catalogue build toys embeddings.parquet --tokenizer residual-kmeans
  semid catalogue look-up toys --codes 3,9,1
"""
_CATALOGUE_EXAMPLES = """\
examples:
  semid catalogue build toys monday.parquet --tokenizer residual-kmeans
  semid catalogue append toys tuesday.parquet
  semid catalogue refit toys all.parquet --popularity-column clicks
  semid catalogue look-up toys --ids B00001 B00002
  semid catalogue look-up toys --codes 3,9,1 3,9
  semid catalogue diff toys 1 3
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command `semid` and return its exit code: 0 if done, 1 if it failed, 130 if it was interrupted.

    Parameters
    ----------
    arguments : list of str or None, default None
        What follows the name of the command; None for ``sys.argv[1:]``. What argparse does not understand ends the
        process with 2.

    Returns
    -------
    code : int

    Examples
    --------
    >>> from semid.cli import main
    >>> main(["info", "nowhere"])
    1
    """
    options = _parser().parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            _run(options)
    except KeyboardInterrupt:
        return _fail("interrupted", _INTERRUPTED)
    except BrokenPipeError:  # of a pager that was closed
        return _DONE
    except (ValueError, TypeError, OSError, ImportError) as error:
        return _fail(str(error), _FAILED)
    return _DONE


def _run(options):
    """Run the command, whose imports take seconds that `--help` does without."""
    module = importlib.import_module(f"semid.cli._{options.command}")
    getattr(module, options.command)(options)


def _fail(message, code):
    sys.stderr.write(f"semid: {message}\n")
    return code


def _show_warning(message, *_, **__):
    sys.stderr.write(f"semid: {message}\n")


def _parser():
    layout = {"formatter_class": argparse.RawDescriptionHelpFormatter}
    parser = argparse.ArgumentParser(
        "semid", description="Semantic IDs on the command line.", epilog=_EXAMPLES, **layout
    )
    parser.add_argument("--version", action="version", version=f"semid {__version__}")
    names = "{tokenize,audit,catalogue,info}"
    commands = parser.add_subparsers(title="commands", required=True, metavar=names)
    _add_tokenize(commands.add_parser("tokenize", help="embeddings to codes", description=_TOKENIZE, **layout))
    _add_audit(commands.add_parser("audit", help="how good is a mapping?", description=_AUDIT, **layout))
    texts = {"description": _CATALOGUE, "epilog": _CATALOGUE_EXAMPLES}
    _add_catalogue(commands.add_parser("catalogue", help="codes in generations", **texts, **layout))
    command = commands.add_parser("info", help="what is in a saved folder?", description="Print what a folder holds.")
    command.add_argument("folder", help="folder that semid.io.save or --save has written, or a catalogue")
    command.set_defaults(command="info")
    return parser


def _add_tokenize(command):
    command.add_argument("embeddings", help=".npy of shape (n_items, n_features), .parquet, or a file of texts")
    command.add_argument("codes", help=".parquet to write: the ids, and code0, code1, ...")
    _add_fit(command)
    command.add_argument("--save", metavar="FOLDER", help="keep the fitted tokenizer here")
    _add_columns(command)
    command.add_argument(
        "--n-jobs",
        type=int,
        metavar="N",
        help=f"batches encoded at once, each on a core; default: one per core, at most {MAX_JOBS}",
    )
    command.add_argument("--overwrite", action="store_true", help="replace codes and --save that are there")
    command.add_argument("--quiet", action="store_true", help="no progress bar")
    command.set_defaults(command="tokenize")


def _add_fit(command, default="ranking"):
    command.add_argument("--tokenizer", choices=sorted(TOKENIZERS), help=f"default: {default}")
    command.add_argument("--n-codebooks", type=int, metavar="N", help="codes per item; default: the tokenizer's")
    command.add_argument(
        "--codebook-size", metavar="K", help="codes per codebook, or 'graded'; default: the tokenizer's"
    )
    command.add_argument("--seed", type=int, metavar="N", help="default: 0")
    command.add_argument("--fit-rows", type=int, metavar="N", help="items to learn from; default: 200000")
    command.add_argument("--model", metavar="FOLDER", help="use this saved tokenizer; nothing is learned")
    command.add_argument(
        "--embedder", metavar="MODEL", help="of texts: lsa, or one of sentence-transformers; default: lsa"
    )
    command.add_argument("--template", metavar="TEXT", help="of texts: how columns become one, '{title}. {brand}'")


def _add_catalogue(command):
    actions = command.add_subparsers(
        title="actions", required=True, metavar="{build,append,refit,rollback,look-up,diff}"
    )
    for name, says in (
        ("build", "the first generation, of a tokenizer or of codes"),
        ("append", "a generation with new items; no ID moves"),
        ("refit", "a generation of all items anew, in the old labels"),
    ):
        action = actions.add_parser(name, help=says, description=f"Write {says}.")
        action.add_argument("folder", help="of the catalogue")
        action.add_argument("items", help="embeddings or texts as for tokenize; a file of codes with --codes")
        action.add_argument("--codes", action="store_true", help="items are codes already, as semid audit reads them")
        if name != "append":
            _add_fit(action, default="that of the catalogue" if name == "refit" else "ranking")
        _add_columns(action)
        action.set_defaults(command="catalogue", action=name, popularity_column=None)
    action.add_argument("--popularity-column", metavar="NAME", help="of the items: clicks, for labels and churn")
    action = actions.add_parser("rollback", help="a generation that is an old one again")
    action.add_argument("folder", help="of the catalogue")
    action.add_argument("generation", type=int, help="number of the one to restore")
    action.set_defaults(command="catalogue", action="rollback")
    _add_readers(actions)


def _add_readers(actions):
    action = actions.add_parser("look-up", help="codes of ids, or ids of codes and prefixes, as JSON")
    action.add_argument("folder", help="of the catalogue")
    asked = action.add_mutually_exclusive_group(required=True)
    asked.add_argument("--ids", nargs="+", metavar="ID")
    asked.add_argument("--codes", nargs="+", metavar="CODES", help="3,9,1 for an ID, 3,9 for all that begin with it")
    action.add_argument("--generation", type=int, metavar="N", help="default: the newest")
    action.set_defaults(command="catalogue", action="look-up")
    action = actions.add_parser("diff", help="what became of each item from one generation to another")
    action.add_argument("folder", help="of the catalogue")
    action.add_argument("old", nargs="?", type=int, help="default: the one before the new")
    action.add_argument("new", nargs="?", type=int, help="default: the newest")
    action.add_argument("--json", action="store_true", help="print JSON, with all changes")
    action.set_defaults(command="catalogue", action="diff")


def _add_audit(command):
    command.add_argument("codes", help=".parquet, .npy, .json or .index.json")
    command.add_argument("--embeddings", metavar="FILE", help=".npy or .parquet; rows as those of the codes, or by id")
    _add_names(command)
    command.add_argument("--model", metavar="FOLDER", help="saved tokenizer, which knows the sizes of its codebooks")
    command.add_argument(
        "--codebook-size", metavar="K", help="codes per codebook, or one size each: 16,64,256; default: the largest + 1"
    )
    command.add_argument("--interactions", metavar="FILE", help="log of users and items, of the training rows")
    command.add_argument("--user-column", default="user_id", metavar="NAME", help="of the log; default: user_id")
    command.add_argument("--items", metavar="FILE", help=".parquet or .csv with ids, titles and labels of the items")
    command.add_argument("--title-column", metavar="NAME", help="of --items; default: title, if there is one")
    command.add_argument("--label-column", metavar="NAME", help="of --items, such as a category; default: none")
    command.add_argument("--purpose", choices=("ranking", "retrieval"), help="what the codes are for; default: both")
    command.add_argument("--compare", metavar="CODES", help="another file of codes, to be put beside these")
    command.add_argument("--html", metavar="FILE", help="write the report as a page that needs no network")
    command.add_argument("--no-baselines", action="store_true", help="leave out random codes and k-means, for speed")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(command="audit")


def _add_columns(command):
    _add_names(command)
    command.add_argument("--text-columns", metavar="NAMES", help="of texts, with commas between: title,brand")
    command.add_argument("--batch-rows", type=int, default=4096, metavar="N", help="items at a time; default: 4096")


def _add_names(command):
    command.add_argument("--id-column", default="item_id", metavar="NAME", help="default: item_id")
    command.add_argument(
        "--embedding-column",
        default="embedding",
        metavar="NAME",
        help="of parquet, of lists; default: embedding",
    )
