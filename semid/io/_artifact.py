"""A fitted estimator as a folder: arrays in a safetensors file, all else in a JSON manifest, nothing that executes."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import safetensors.numpy
from sklearn.base import BaseEstimator

from semid.base._typing import StrPath
from semid.io._codec import Decoder, Encoder
from semid.io._errors import ArtifactError
from semid.io._files import read_regular_file, sync_file, sync_folder, unused_beside
from semid.io._sealed import LARGEST_MANIFEST, sealed, sha256_of, unsealed, versions

FORMAT, VERSION = "semid-artifact", 1
MANIFEST = "manifest.json"
_ARRAYS = re.compile(r"arrays-[0-9a-f]{16}\.safetensors")


def save(estimator: BaseEstimator, folder: StrPath, *, overwrite: bool = False) -> Path:
    """Write a fitted estimator to a folder, without pickle: `load` restores it and executes nothing that it reads.

    For tokenizers, `SemanticIDEncoder` with its item table, `PrefixNGramEncoder`, `TextEmbedder`, click models, and the
    Pipelines and ColumnTransformers made of them and of ``"passthrough"``, StandardScaler, MinMaxScaler, Normalizer or
    PCA. The folder is there as a whole or not at all. It holds a safetensors file of all arrays, and ``manifest.json``:
    the format, the classes, their parameters and fitted attributes, versions, fingerprints of item tables, checksums.

    Not kept are `memory` and `checkpoint_dir`, folders of a machine, and the models of sentence-transformers that a
    `TextEmbedder` names: it looks for them where it is used.

    Parameters
    ----------
    estimator : estimator
        What to save. Its parameters must be numbers, text, lists and the like: no callbacks, no class of one's own as
        `fusion`, no RandomState.
    folder : str or path-like
        Where to; its parent must exist.
    overwrite : bool, default False
        Whether to replace an artifact that is there. Until the new one is complete the old one stays. A folder that
        holds anything else is refused in any case. One process may replace it at a time.

    Returns
    -------
    folder : Path

    Raises
    ------
    TypeError
        If something in `estimator` is of a class that artifacts do not hold; the message says which and where.
    ValueError
        If `estimator` does not hold together, for example with parameters that its `fit` would refuse.
    FileNotFoundError
        If there is no folder to put `folder` in.
    FileExistsError
        If `folder` exists, unless `overwrite` is True and it is an artifact.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from semid.datasets import make_items
    >>> from semid.io import load, save
    >>> from semid.tokenizers import ResidualKMeansTokenizer
    >>> X = make_items(n_items=500, random_state=0).embeddings
    >>> tokenizer = ResidualKMeansTokenizer(codebook_size=16, random_state=0).fit(X)
    >>> with TemporaryDirectory() as there:
    ...     restored = load(save(tokenizer, Path(there) / "tokenizer"))
    >>> bool((restored.transform(X) == tokenizer.transform(X)).all())
    True
    """
    if isinstance(estimator, type) or not isinstance(estimator, BaseEstimator):
        raise TypeError(f"estimator must be an estimator of semid, got {estimator!r:.200}.")
    if hasattr(estimator, "best_estimator_"):
        raise TypeError(f"estimator must be one of semid, got a {type(estimator).__name__}. Save its best_estimator_.")
    folder = Path(folder).resolve()
    check_target(folder, overwrite)
    encoder = Encoder()
    tree = encoder.encode(estimator, ())
    _rehearse(tree, encoder.arrays)
    staged = unused_beside(folder)
    staged.mkdir()
    try:
        _write(staged, tree, encoder.arrays)
        if overwrite and folder.exists():
            _replace_files(folder, staged)
        else:
            _put_new(staged, folder, overwrite)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return folder


def load(folder: StrPath) -> Any:
    """Restore what `save` wrote: an estimator that gives the same codes or probabilities, to be used or fitted anew.

    Checksums are compared, and then the estimator itself is checked: its classes must be those that `save` writes, its
    arrays must fit its architecture, its parameters what `fit` allows, and a row must pass through it. So an artifact
    from a stranger can be wrong, but cannot run code. Look at the `model` of a `TextEmbedder` in it, though: one other
    than ``"lsa"`` is what sentence-transformers will look for when it is used.

    Parameters
    ----------
    folder : str or path-like
        Where `save` wrote to.

    Returns
    -------
    estimator : estimator

    Raises
    ------
    ArtifactError
        If `folder` is not an artifact, of a newer format, damaged, or made to do harm. No other exception is raised
        for what is read.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from semid.io import ArtifactError, load, save
    >>> from semid.tokenizers import ResidualKMeansTokenizer
    >>> with TemporaryDirectory() as there:
    ...     folder = save(ResidualKMeansTokenizer(n_codebooks=2), Path(there) / "tokenizer")
    ...     restored = load(folder)
    ...     content = bytearray((folder / "manifest.json").read_bytes())
    ...     content[100] ^= 1
    ...     _ = (folder / "manifest.json").write_bytes(content)
    ...     try:
    ...         load(folder)
    ...     except ArtifactError as error:
    ...         "checksum" in str(error)
    True
    >>> restored
    ResidualKMeansTokenizer(n_codebooks=2)
    """
    folder = Path(folder)
    if not folder.is_dir():
        is_there = "is a file; what joblib.dump wrote is read with joblib.load" if folder.exists() else "is not there"
        raise ArtifactError(f"folder must be one that semid.io.save wrote, {os.fspath(folder)!r} {is_there}.")
    try:
        manifest, arrays = _read(folder)
        return _restored(manifest["estimator"], arrays)
    except ArtifactError:
        raise
    except Exception as error:  # a damaged file makes any library below fail in its own way
        raise ArtifactError(_explanation(folder, error)) from error


def _explanation(folder, error):
    text = str(error) if isinstance(error, ValueError | TypeError | OSError) else f"{type(error).__name__}: {error}"
    text = f"{text[:500].removesuffix('.')}. Save it anew, or get another copy."
    return f"no artifact could be restored from {os.fspath(folder)!r}: {text}"


def check_target(folder, overwrite):
    if not folder.parent.is_dir():
        raise FileNotFoundError(
            f"folder must be in a folder that exists, got {os.fspath(folder)!r}. Create that first."
        )
    if not folder.exists():
        return
    if not overwrite:
        raise FileExistsError(f"folder must not exist, got {os.fspath(folder)!r}. Pass overwrite=True to replace it.")
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    others = [name for name in names if name != MANIFEST and not _ARRAYS.fullmatch(name)]
    if MANIFEST not in names or others:
        raise FileExistsError(
            f"folder must be an artifact and nothing else to be replaced, got {os.fspath(folder)!r} with "
            f"{(others or names)[:3]}. Save to another folder."
        )


def _rehearse(tree, arrays):
    """Raise ValueError unless `load` will accept what is about to be written."""
    try:
        _restored(json.loads(json.dumps(tree, allow_nan=False)), arrays)
    except Exception as error:  # whatever is wrong with the estimator
        raise ValueError(f"estimator must hold together to be saved: {error} Fit it again, then save it.") from error


def _restored(tree, arrays):
    # Torch, the tokenizers and the click models are imported here, where there is something to restore.
    structure = importlib.import_module("semid.io._structure")
    estimator = Decoder(arrays, structure.check_restored).decode(tree)
    if not isinstance(estimator, BaseEstimator):
        raise ValueError(f"an artifact must hold an estimator, got {type(estimator).__name__}.")
    return estimator


def _write(folder, tree, arrays):
    staged = folder / "arrays"
    safetensors.numpy.save_file(arrays, staged)
    sync_file(staged)
    size, digest = staged.stat().st_size, sha256_of(staged)
    name = f"arrays-{digest[:16]}.safetensors"
    staged.rename(folder / name)
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "written_with": versions(),
        "files": {name: {"size": size, "sha256": digest}},
        "estimator": tree,
    }
    (folder / MANIFEST).write_bytes(sealed(manifest))
    shutil.copymode(folder / MANIFEST, folder / name)  # safetensors writes files that only their owner can read
    sync_file(folder / MANIFEST)
    sync_folder(folder)


def _unsealed(content):
    return unsealed(content, MANIFEST, format=FORMAT, version=VERSION, what="an artifact")


def _put_new(staged, folder, overwrite):
    """Give the folder `staged` its name, unless somebody has taken it since the work began."""
    try:
        os.rename(staged, folder)
    except OSError:
        check_target(folder, overwrite)
        raise
    sync_folder(folder.parent)


def _replace_files(folder, staged):
    """Turn the artifact in `folder` into that in `staged`: complete with the rename of the manifest, before it the old.

    A folder that is not empty cannot be replaced in one step; a file can, and the arrays have names of their own.
    """
    old = _arrays_in_use(folder)
    new = [path.name for path in staged.iterdir() if path.name != MANIFEST]
    for name in new:
        os.replace(staged / name, folder / name)
    sync_folder(folder)
    os.replace(staged / MANIFEST, folder / MANIFEST)
    sync_folder(folder)
    for name in old.difference(new):
        (folder / name).unlink(missing_ok=True)


def _arrays_in_use(folder):
    """Return the names of the files of arrays that the manifest has, or of all where it cannot be read.

    Others may be there that somebody is about to put to use. A manifest may name anything: only what is in the folder,
    and called as files of arrays are, will be deleted.
    """
    present = {path.name for path in folder.iterdir() if _ARRAYS.fullmatch(path.name)}
    try:
        named = list(_unsealed(read_regular_file(folder / MANIFEST, LARGEST_MANIFEST))["files"])
    except (ArtifactError, ValueError, OSError, KeyError, TypeError):  # damaged, or of another version: nobody uses it
        return present
    return {name for name in named if isinstance(name, str)} & present


def _read(folder):
    """Return the manifest and the arrays of an artifact."""
    content = read_regular_file(folder / MANIFEST, LARGEST_MANIFEST)
    manifest = _unsealed(content)
    try:
        return manifest, _read_arrays(folder, manifest["files"])
    except FileNotFoundError:
        # It may have been replaced since the manifest was read; if so, once more.
        if read_regular_file(folder / MANIFEST, LARGEST_MANIFEST) == content:
            raise
        return _read(folder)


def _read_arrays(folder, files):
    ((name, expected),) = files.items()
    if not _ARRAYS.fullmatch(name) or expected["sha256"][:16] != name[7:23]:
        raise ValueError(f"files must be named arrays-<checksum>.safetensors, got {name!r:.80}.")
    content = read_regular_file(folder / name, int(expected["size"]))
    if len(content) != expected["size"]:
        raise ValueError(f"{name} must have {expected['size']!r:.20} bytes, got {len(content)}: it is cut or damaged.")
    if hashlib.sha256(content).hexdigest() != expected["sha256"]:
        raise ValueError(f"{name} must have the checksum of the manifest, got another: it is damaged.")
    return safetensors.numpy.load(content)
