"""A generation of a catalogue as a folder of its own, with a card, and that folder on Hugging Face's hub."""

from __future__ import annotations

import os
import shutil
from fnmatch import fnmatchcase
from os import fspath
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import pandas as pd

from semid.base._checks import check_option
from semid.base._typing import StrPath
from semid.io._files import sync_folder, unused_beside
from semid.io._generation import CHANGES, ITEMS, MANIFEST, TOKENIZER, Generation, damaged
from semid.io._sealed import sealed
from semid.metrics import tokenizer_report

CARD = "README.md"
# What a generation has on a hub, in the patterns of huggingface_hub, whose * goes through folders. A repository may
# hold more, which is neither removed nor downloaded.
_FILES = (
    MANIFEST,
    ITEMS,
    CHANGES,
    "prefixes[0-9].parquet",
    "prefixes[0-9][0-9].parquet",
    f"{TOKENIZER}/manifest.json",
    f"{TOKENIZER}/arrays-*.safetensors",
)
_SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
_NAMES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B")
_SHARES = {
    "collision_rate": "share of items without codes of their own (collision rate)",
    "prefix_collision_rate": "the same, by all codes but the last",
    "redundancy": "how much two codebooks say the same, on average (NMI)",
    "redundancy_by_chance": "the same of random codes",
}


def export_generation(generation: Generation, folder: StrPath, *, tokenizer: bool = True) -> Path:
    """Write a generation as a folder of its own, with a card that says how the codes were made and how good they are.

    The folder is there as a whole or not at all. `Generation` reads it, and `push_generation` publishes such a one.

    Parameters
    ----------
    generation : Generation
        As `Catalogue.open` returns it.
    folder : str or path-like
        Where to; its parent must exist, and it must not.
    tokenizer : bool, default True
        Whether the tokenizer goes with it. That of a `UniqueTokenizer` holds the embeddings of all items.

    Returns
    -------
    folder : Path

    Raises
    ------
    FileExistsError
        If `folder` exists.
    FileNotFoundError
        If there is no folder to put `folder` in.
    ArtifactError
        If the files of the generation are damaged or there no more.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from semid.io import Catalogue, Generation, export_generation
    >>> with TemporaryDirectory() as there:
    ...     catalogue = Catalogue.build(Path(there) / "toys", ["mug", "cup"], codes=[[1, 7], [3, 0]])
    ...     folder = export_generation(catalogue.open(), Path(there) / "published")
    ...     sorted(path.name for path in folder.iterdir())
    ...     Generation(folder).codes_of(["cup"]).tolist()
    ['README.md', 'changes.parquet', 'items.parquet', 'manifest.json', 'prefixes1.parquet', 'prefixes2.parquet']
    [[3, 0]]
    """
    folder = Path(folder).absolute()
    if not folder.parent.is_dir():
        raise FileNotFoundError(f"folder must be in a folder that exists, got {fspath(folder)!r}. Create that first.")
    if folder.exists():
        raise FileExistsError(f"folder must not exist, got {fspath(folder)!r}. Pass another.")
    check_option("tokenizer", tokenizer, (True, False))
    generation.verify()
    staged = unused_beside(folder)
    try:
        try:
            _write(generation, staged, with_tokenizer=tokenizer and generation.has_tokenizer)
        except FileNotFoundError as error:
            if generation.folder.is_dir():
                raise
            raise damaged(generation.folder, error) from error  # it was pruned meanwhile
        os.rename(staged, folder)
        sync_folder(folder.parent)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return folder


def push_generation(
    generation: Generation,
    repo_id: str,
    *,
    tokenizer: bool = True,
    private: bool = True,
    repo_type: Literal["dataset", "model"] = "dataset",
    revision: str | None = None,
    token: str | None = None,
    endpoint: str | None = None,
) -> str:
    """Publish a generation on Hugging Face's hub, as `export_generation` writes it.

    Needs huggingface_hub, the extra ``hub``.

    Parameters
    ----------
    generation : Generation
        As `Catalogue.open` returns it.
    repo_id : str
        Repository, ``"name/toys"``; made if it is not there. What it holds of an earlier generation is replaced, and
        its card (README.md) is that of this one; other files stay.
    tokenizer : bool, default True
        Whether the tokenizer goes with it. That of a `UniqueTokenizer` holds the embeddings of all items.
    private : bool, default True
        Whether a repository that is made is for its owner alone; without effect on one that is there.
    repo_type : {"dataset", "model"}, default "dataset"
        Kind of repository.
    revision : str or None, default None
        Branch, which must exist; None for the main one.
    token : str or None, default None
        Token that may write there; None for that of ``hf auth login``.
    endpoint : str or None, default None
        Address of a hub, which takes huggingface_hub 1.8 or later; None for Hugging Face's own.

    Returns
    -------
    url : str
        Address of the commit.

    Raises
    ------
    ImportError
        If huggingface_hub is not installed.
    ArtifactError
        If the files of the generation are damaged or there no more.
    ValueError
        If `repo_type` is another.

    Examples
    --------
    >>> from semid.io import Catalogue, push_generation
    >>> def publish(folder, repo_id):
    ...     return push_generation(Catalogue(folder).open(), repo_id)
    """
    hub = _hub()
    check_option("repo_type", repo_type, ("dataset", "model"))
    api = hub.HfApi(endpoint=endpoint, token=token, library_name="semid")
    with TemporaryDirectory() as there:
        folder = export_generation(generation, Path(there) / "generation", tokenizer=tokenizer)
        api.create_repo(repo_id, private=private, repo_type=repo_type, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo_id,
            repo_type=repo_type,
            folder_path=folder,
            revision=revision,
            commit_message=f"Generation {generation.number}: {len(generation)} items",
            delete_patterns=list(_FILES),
        )
    return str(commit.commit_url)


def pull_generation(
    repo_id: str,
    folder: StrPath,
    *,
    repo_type: Literal["dataset", "model"] = "dataset",
    revision: str | None = None,
    token: str | None = None,
    endpoint: str | None = None,
) -> Generation:
    """Download a generation that `push_generation` has published, and read it; checksums are compared.

    Needs huggingface_hub, the extra ``hub``.

    Parameters
    ----------
    repo_id : str
        Repository, ``"name/toys"``.
    folder : str or path-like
        Where to put the files; made if it is not there. One that holds an earlier generation is brought up to date,
        file by file: nobody can read it meanwhile.
    repo_type : {"dataset", "model"}, default "dataset"
        Kind of repository.
    revision : str or None, default None
        Branch, tag or commit; None for the main branch. A commit is a generation that nobody can change.
    token : str or None, default None
        Token for a private repository; None for that of ``hf auth login``.
    endpoint : str or None, default None
        Address of a hub; None for Hugging Face's own.

    Returns
    -------
    generation : Generation

    Raises
    ------
    ImportError
        If huggingface_hub is not installed.
    ArtifactError
        If the repository holds no generation, or a damaged one.
    FileExistsError
        If `folder` holds something else.
    ValueError
        If `repo_type` is another.

    Examples
    --------
    >>> from semid.io import pull_generation
    >>> def codes_published(repo_id, ids):
    ...     return pull_generation(repo_id, "toys").codes_of(ids)
    """
    hub = _hub()
    check_option("repo_type", repo_type, ("dataset", "model"))
    folder = Path(folder).absolute()
    _check_target(folder)
    hub.snapshot_download(
        repo_id,
        repo_type=repo_type,
        revision=revision,
        local_dir=folder,
        token=token,
        endpoint=endpoint,
        allow_patterns=[CARD, *_FILES],
    )
    generation = Generation(folder)
    generation.verify()
    return generation


def _check_target(folder):
    """Raise unless `folder` is not there, or holds nothing but what a pull has put there: it writes over files."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise FileExistsError(f"folder must not be a file, got {fspath(folder)!r}. Pass another.")
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    own = (CARD, TOKENIZER, *_FILES)
    others = [name for name in names if not any(fnmatchcase(name, pattern) for pattern in own)]
    if not others and names and MANIFEST not in names and not (folder / ".cache").exists():
        others = names  # a card or a tokenizer of something else
    if others:
        raise FileExistsError(
            f"folder must be new, or hold a generation that was pulled and nothing else, got {fspath(folder)!r} with "
            f"{others[:3]}. Pass another."
        )


def _hub():
    try:
        import huggingface_hub
    except ImportError as error:
        raise ImportError("publishing needs huggingface_hub: pip install semid[hub].") from error
    return huggingface_hub


def _write(generation, staged, *, with_tokenizer):
    about = dict(generation.about)
    is_kept = {name: with_tokenizer or not name.startswith(f"{TOKENIZER}/") for name in about["files"]}
    about["files"] = {name: entry for name, entry in about["files"].items() if is_kept[name]}
    staged.mkdir()
    for name in about["files"]:
        (staged / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(generation.folder / name, staged / name)
    (staged / CARD).write_text(card(generation, with_tokenizer=with_tokenizer), encoding="utf-8")
    (staged / MANIFEST).write_bytes(sealed(about))


def card(generation: Generation, *, with_tokenizer: bool) -> str:
    """Return the card of a generation as Markdown, with the head in YAML that the hub reads."""
    about = generation.about
    size = next((name for name, most in zip(_NAMES, _SIZES, strict=True) if len(generation) < most), "n>1B")
    lines = [
        "---",
        "library_name: semid",
        "tags:",
        "- semantic-ids",
        "- recommendation",
        "size_categories:",
        f"- {size}",
        "configs:",
        "- config_name: items",
        f"  data_files: {ITEMS}",
        "  default: true",
        "- config_name: changes",
        f"  data_files: {CHANGES}",
        "---",
        "",
        f"# Semantic IDs of {len(generation):,} items",
        "",
        f"Generation {generation.number} of a catalogue of codes, written by semid {about['written_with']['semid']} on "
        f"{about['created'][:10]}: {len(generation.codebook_sizes)} codes for each item, of codebooks of "
        f"{', '.join(map(str, generation.codebook_sizes))} codes.",
        "",
        *_how_made(generation, with_tokenizer),
        *_how_good(generation),
        *_how_to_read(generation),
    ]
    return "\n".join(lines) + "\n"


def _how_made(generation, with_tokenizer):
    about, changes = generation.about, generation.about["changes"]
    lines = ["## How they were made", ""]
    if generation.has_tokenizer:
        whether = "it is in `tokenizer/`" if with_tokenizer else "it is not part of this folder"
        lines += [f"By this tokenizer ({whether}):", "", "```", repr(generation.tokenizer()), "```", ""]
    else:
        lines += ["They were given as codes; how they were made is not known here.", ""]
    if generation.parent is not None:
        counts = ", ".join(f"{count:,} {name}" for name, count in changes.items())
        restored = f" of generation {about['restores']}" if "restores" in about else ""
        lines += [f"It is the {about['made_by']}{restored} that followed generation {generation.parent}: {counts}.", ""]
    if about.get("churn") and about["made_by"] == "refit":
        text = f"{about['churn']['items']:.1%} of the items that were there before have other codes"
        if about.get("traffic_churn"):
            text += f"; they had {about['traffic_churn']['items']:.1%} of the traffic"
        lines += [text + ".", ""]
    return lines


def _how_good(generation):
    codes = pd.DataFrame(generation.codes, columns=[f"code{n}" for n in range(generation.codes.shape[1])])
    is_whole = (generation.codes >= 0).all()
    report = tokenizer_report(codes, codebook_size=generation.codebook_sizes if is_whole else None)
    lines = ["## How good they are", "", "Of the codes alone, without regard to what the items are.", ""]
    lines += ["| figure | value |", "|---|---|"]
    lines += [
        f"| {says} | {report.summary[name]:.4f} |"
        for name, says in _SHARES.items()
        if isinstance(report.summary.get(name), float) and report.summary[name] == report.summary[name]
    ]
    lines += ["", "| codebook | size | codes used | perplexity |", "|---|---|---|---|"]
    for n, row in enumerate(report.table.to_dict("records")):
        size, used, perplexity = generation.codebook_sizes[n], row["codes_used"], row["perplexity"]
        lines.append(f"| {n} | {size} | {used} | {perplexity:.1f} |")
    return [*lines, ""]


def _how_to_read(generation):
    n_codebooks = len(generation.codebook_sizes)
    return [
        "## How to read them",
        "",
        "```python",
        "import pandas as pd",
        "",
        f'items = pd.read_parquet("{ITEMS}")  # item_id, code0, ..., sorted by codes',
        'prefixes = pd.read_parquet("prefixes1.parquet")  # code0, start, stop: rows of items',
        "```",
        "",
        f"`prefixes1.parquet` to `prefixes{n_codebooks}.parquet` have the rows of `{ITEMS}` whose codes begin with "
        "each prefix; -1 stands after the end of a shorter ID. In a vocabulary that all codebooks share, the token of "
        f"code c of codebook n is `level_offsets[n] + c`, with {generation.level_offsets.tolist()} and "
        f"{generation.vocabulary_size} tokens in all. Or with semid:",
        "",
        "```python",
        "from semid.io import pull_generation",
        "",
        'generation = pull_generation("<this repository>", "codes")',
        "generation.codes_of(ids)",
        "generation.items_of([[3, 9]])",
        "```",
    ]
