"""What is wrong with a mapping, in sentences: the number, why it matters, and what to do."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from semid.metrics._arrays import distinct_rows
from semid.metrics._codes import codebook_perplexity, prefix_collision_rates

_LONGEST_TITLE = 90  # characters
# Perplexity as a share of the codes that could be in use. The first codebooks of public maps in trouble have 0.16 to
# 0.32, those of residual k-means on Amazon Beauty (4 x 256) 0.88 to 0.45, from the first to the last.
_EVENLY_USED = 0.4
# Share of the codes that even random codes would use: with few items, some stay unused whatever the tokenizer.
_IN_USE = 0.9
# One item in a hundred without a row of its own; Amazon Beauty has three in a thousand that share a title.
_COLLISIONS = 0.01
# How many times lower the collision rate is with the last codebook than without it. One more level of residual k-means
# lowers it 2 to 4 times, last codebooks of public maps that were made to tell items apart 13 to 88 times.
_HIDES = 10
# Random codes of the same sizes collide as well: a prefix is crowded if the odds of its collision rate, collisions per
# distinct row, are several times theirs.
_CROWDED = 5
# Fewer items than these may be where a suffix would have them by chance.
_LEAST_EVIDENCE = 10
# More than half of the items have one code: nothing is so common but "first of its kind".
_DOMINANT = 0.5
# How far the redundancy lies on the way from chance to copies. Codebooks that quantize one vector side by side have
# 0.7 to 0.8, with a projection for each 0.1.
_NEAR_COPY = 0.5
# Times the odds of the neighbours that chance keeps; one codebook of 256 codes on Amazon Beauty keeps over a hundred
# times as many. With fewer items than these for each neighbour, good codes are hardly better than chance.
_UNRELATED = 2
ITEMS_PER_NEIGHBOR = 5
# How many times as long as the shortest embeddings the longest are, where k-means chases these.
_UNEQUAL = 2
# Sizes that grow from codebook to codebook, to as many times the first, are graded on purpose.
_GRADED = 3
_GAIN = " A click model may gain from them all the same, if they differ in granularity (codebook_size='graded')."
# A codebook of at most this many codes is small, if others have at least as many times more.
_TINY = 4

_HAVE_NO_ORDER = (
    " The ids are numbers that do not ascend, and items are in the order of the mapping: perhaps the rows of X are in "
    "that of the numbers."
)
_OTHERS_COLLIDE = (
    "For retrieval, add a codebook, or wrap the tokenizer in UniqueTokenizer. A click model that has the item id as a "
    "field beside the codes needs neither."
)
_GRADED_COLLIDE = (
    "Codebooks of graded sizes, as presets.ranking() has them, are made for click models that have the item id as a "
    "field beside the codes, and lack nothing there. For retrieval, wrap the tokenizer in UniqueTokenizer."
)
_OTHERS_COPY = (
    "Let each codebook see something else: a residual (RQVAETokenizer, ResidualKMeansTokenizer) or a projection of its "
    "own (MixtureOfCodesTokenizer). A click model may gain from them all the same, if they differ in granularity "
    "(codebook_size='graded')."
)
_GRADED_COPY = (
    "Codebooks of graded sizes, as presets.ranking() has them, are made so: each is a clustering of the whole items, "
    "coarse or fine, and click models gain from it. For retrieval, let each see something else: a residual "
    "(RQVAETokenizer) or a projection of its own (MixtureOfCodesTokenizer with its own projection_dim)."
)


@dataclass(frozen=True)
class Audit:
    """The figures of one mapping that the findings read."""

    item_ids: np.ndarray  # (n_items,)
    codes: np.ndarray  # (n_items, n_codebooks)
    starts: np.ndarray  # (n_codebooks,), where the codes of each began in the mapping, before they began at 0
    lengths: np.ndarray  # (n_items,), number of codes of each item
    is_first: np.ndarray  # (n_items,), False for items that repeat an embedding; all True without embeddings
    has_embeddings: bool
    sizes: np.ndarray  # (n_codebooks,)
    sizes_are_known: bool
    usage: np.ndarray  # (n_codebooks,)
    perplexity: np.ndarray  # (n_codebooks,)
    prefix_collision_rates: np.ndarray  # (n_codebooks,)
    collision_rate: float  # among the items that are first
    redundancy: np.ndarray  # (n_codebooks, n_codebooks)
    redundancy_by_chance: np.ndarray  # (n_codebooks, n_codebooks)
    neighbor_overlap: float | None
    neighbor_overlap_by_chance: float | None
    is_evidence: bool  # whether there are items enough for the neighbours to tell anything
    norm_ratio: float | None  # how many times as long the longest embeddings are as the shortest
    r2: float | None
    titles: list[str] | None = None  # (n_items,)

    def name(self, row):
        """Return what an item is called: its title beside its id, or its id alone."""
        return item_name(self.item_ids, self.titles, row)

    @property
    def distinct_codes(self):
        """Codes of the items that are first: equal embeddings have equal codes, whatever the tokenizer."""
        return self.codes[self.is_first]


def shortened(text):
    """Return a text that fits where it is named among others."""
    return text if len(text) <= _LONGEST_TITLE else text[: _LONGEST_TITLE - 1].rstrip() + "…"


def item_name(item_ids, titles, row):
    """Return the title of an item beside its id, or its id alone."""
    title = "" if titles is None else shortened(titles[row])
    return f"{title!r} ({item_ids[row]})" if title else str(item_ids[row])


def has_a_suffix(audit):
    """Return whether the last codebook only counts the items that share the others."""
    return _codes_with_a_suffix(audit) is not None


def findings(audit, purpose=None):
    """Return the sentences that apply, the gravest first; of codes for ranking, nothing on items that share them."""
    suffixed = _codes_with_a_suffix(audit)
    is_suffix = suffixed is not None
    is_for_ranking = purpose == "ranking"
    codebooks = np.arange(audit.codes.shape[1] - is_suffix)  # a suffix has a finding of its own
    return [
        *_about_content(audit),
        *_about_reconstruction(audit),
        *_about_ids(audit),
        *_about_numbering(audit),
        *_about_lengths(audit),
        *_about_even_use(audit, codebooks),
        *_about_dead_codes(audit, codebooks),
        *_about_tiny_codebooks(audit),
        *(() if is_for_ranking else _about_collisions(audit)),
        *(_about_the_suffix(audit, suffixed) if is_suffix else () if is_for_ranking else _about_prefixes(audit)),
        *(() if is_for_ranking and _is_graded(audit) else _about_copies(audit)),
    ]


def _about_content(audit):
    overlap, chance = audit.neighbor_overlap, audit.neighbor_overlap_by_chance
    if overlap is not None and audit.is_evidence and overlap * (1 - chance) < _UNRELATED * chance * (1 - overlap):
        yield (
            "The codes know nothing of X: items that share codes are neighbours in X as seldom as by chance "
            f"(neighbour overlap {overlap:.2%}, chance {chance:.2%}). Either the rows of X are in another order than "
            "the items of the mapping, the most common reason, or the codes are random. Match both by item id."
            f"{_HAVE_NO_ORDER if _are_numbers_in_disorder(audit.item_ids) else ''}"
        )


def _are_numbers_in_disorder(item_ids):
    """Whether ids are whole numbers, or text of such, that do not ascend."""
    is_text = all(isinstance(item_id, str) and item_id.isdecimal() for item_id in item_ids.tolist())
    numbers = [int(item_id) for item_id in item_ids] if is_text else item_ids
    is_number = is_text or item_ids.dtype.kind in "iu"
    return is_number and any(a > b for a, b in pairwise(numbers))


def _about_reconstruction(audit):
    if audit.r2 is not None and audit.r2 <= 0:
        yield (
            f"The reconstruction is no better than the mean of X (R² {audit.r2:.3f}). Check that its rows are in the "
            "order of X and its units are those of X: a tokenizer fitted on standardised embeddings needs the way back."
        )


def _about_ids(audit):
    ids = [n for n, codes in enumerate(audit.codes.T) if _is_different_in_every_row(codes)]
    if ids and not audit.sizes_are_known:
        yield (
            f"Codebook {ids[0]} has another code for every item, as ids have{_so_do(ids[1:])}. If it is a column of "
            "ids, leave it out, or name it item_id in a DataFrame: by it, no two items collide, and the other figures "
            "are those of ids."
        )


def _is_different_in_every_row(codes):
    return len(codes) >= _LEAST_EVIDENCE and len(np.unique(codes)) == len(codes)


def _about_numbering(audit):
    if audit.starts.any():
        yield (
            "The codes are numbered through from codebook to codebook, as tokens of one vocabulary are: they begin at "
            f"{', '.join(map(str, audit.starts))}, and are counted from there in this report. Subtract where each "
            "begins for what has a codebook each."
        )


def _about_lengths(audit):
    lengths, counts = np.unique(audit.lengths, return_counts=True)
    if len(lengths) > 1:
        shares = ", ".join(f"{count:,} items have {length}" for length, count in zip(lengths, counts, strict=True))
        yield (
            f"IDs of different lengths: {shares} codes. A model with one field per codebook, and a decoder of fixed "
            "depth, take no such IDs; in this report, having no code is code 0 of its codebook, and the others move up "
            "by one. UniqueTokenizer gives every item the same number of codes."
        )


def _about_even_use(audit, codebooks):
    shares = codebook_perplexity(audit.distinct_codes) / _reach_of_chance(audit)
    uneven = sorted((n for n in codebooks if shares[n] < _EVENLY_USED), key=lambda n: shares[n])
    if uneven:
        n = uneven[0]
        yield (
            f"Codebook {n} uses {_n_used(audit, n)} of {audit.sizes[n]} codes, as evenly as {audit.perplexity[n]:.0f} "
            f"would (perplexity {audit.perplexity[n]:.1f}){_so_do(uneven[1:])}.{_if_sizes_are_guessed(audit)} Most "
            "items crowd on few codes, which say little, and the other codebooks must tell them apart. "
            f"{_about_norms(audit)} with assignment='sinkhorn', start from k-means if they did not (the learned "
            "tokenizers here do), or pass a smaller codebook_size."
        )


def _about_norms(audit):
    """What to do about lengths of the embeddings, and how to go on from there."""
    normalize = "scale them to one length (sklearn.preprocessing.normalize)"
    if audit.norm_ratio is None:
        return f"If the embeddings differ much in norm, {normalize}. Else fit"
    if audit.norm_ratio < _UNEQUAL:
        return "Fit"
    ratio = f"the longest are {audit.norm_ratio:.1f} times the shortest"
    return f"The embeddings differ in norm, {ratio}: {normalize}. Else fit"


def _about_dead_codes(audit, codebooks):
    reach = _reach_of_chance(audit)
    used = audit.usage * audit.sizes
    # The others have a finding already.
    is_even = codebook_perplexity(audit.distinct_codes) >= _EVENLY_USED * reach
    is_dead = is_even & (used < _IN_USE * reach) & (audit.sizes <= len(audit.codes))
    dead = [n for n in codebooks if is_dead[n]]
    if dead:
        n = max(dead, key=lambda n: 1 - used[n] / reach[n])
        yield (
            f"Codebook {n} has {audit.sizes[n] - _n_used(audit, n)} dead codes of {audit.sizes[n]}, which no item has"
            f"{_so_do(dead, but=n)}.{_if_sizes_are_guessed(audit)} They cost memory, and a model's embeddings for them "
            "are never learned. Fit with assignment='sinkhorn', or pass a smaller codebook_size."
        )


def _about_tiny_codebooks(audit):
    """Of sizes that are guessed, a collapsed codebook looks like a small one. The last may count, and be small."""
    largest = audit.sizes.max()
    tiny = [n for n, size in enumerate(audit.sizes[:-1]) if size <= _TINY and size * _TINY <= largest]
    if tiny and not audit.sizes_are_known:
        n = tiny[0]
        yield (
            f"Codebook {n} has codes below {audit.sizes[n]}, others up to {largest - 1}{_so_do(tiny[1:])}. Unless it "
            "was made so small, it has collapsed, and says next to nothing: pass codebook_size to be told."
        )


def _about_collisions(audit):
    if audit.collision_rate < _COLLISIONS:
        return
    rows = np.flatnonzero(audit.is_first)
    first, inverse = distinct_rows(audit.codes[rows])
    counts = np.bincount(inverse)
    largest = rows[inverse == counts.argmax()]
    which = "items, though their embeddings differ," if audit.has_embeddings else "items"
    ask = "" if audit.has_embeddings else " Pass X to see whether their embeddings differ."
    yield (
        f"{_by_design('Collisions', audit)}: {len(rows) - len(first):,} of {len(rows):,} {which} add no row of codes "
        f"({audit.collision_rate:.2%}). The largest group are {len(largest)} items with the codes "
        f"{audit.codes[largest[0]].tolist()}, such as {audit.name(largest[0])} and "
        f"{audit.name(largest[1])}. No model that reads codes alone can tell them apart.{ask} "
        f"{_GRADED_COLLIDE if _is_graded(audit) else _OTHERS_COLLIDE}"
    )


def _codes_with_a_suffix(audit):
    """Return the codes, of all or of the distinct items, whose last codebook counts the items that share the others."""
    for codes in (audit.codes, audit.distinct_codes):
        if _last_codebook_hides_collisions(codes) and (
            _dominant_share(codes[:, -1]) > _DOMINANT or _counts_from_one_code_up(codes)
        ):
            return codes
    return None


def _counts_from_one_code_up(codes):
    """Whether items that share the other codes have the most frequent codes of the last codebook, and no others.

    The first of k such items has the most frequent code of all, the k-th the k-th most frequent. By chance, an item has
    one of these k codes as often as they are of those in use.
    """
    rows = codes[distinct_rows(codes)[0]]
    _, groups = distinct_rows(rows[:, :-1])
    group_sizes = np.bincount(groups)[groups]
    _, last, frequencies = np.unique(rows[:, -1], return_inverse=True, return_counts=True)
    ranks = np.argsort(np.argsort(-frequencies, kind="stable"))[last]
    n_others = np.count_nonzero(ranks >= group_sizes)
    n_others_by_chance = np.sum(1 - group_sizes / len(frequencies))
    return n_others_by_chance >= _LEAST_EVIDENCE and n_others <= n_others_by_chance / _HIDES


def _last_codebook_hides_collisions(codes):
    rates = prefix_collision_rates(codes)
    return len(rates) > 1 and rates[-2] > 0 and rates[-1] <= rates[-2] / _HIDES


def _about_the_suffix(audit, codes):
    share, (*_, before, after) = _dominant_share(codes[:, -1]), prefix_collision_rates(codes)
    n_rows = np.prod(audit.sizes[:-1].astype(float))
    if share > _DOMINANT:
        sign = f"{share:.1%} of the items have one code there"
    else:
        sign = "among these, it counts from the same code up"
    if len(audit.codes) <= n_rows or not audit.sizes_are_known:
        advice = "UniqueTokenizer(strategy='reassign') tells items apart without an extra codebook."
    else:
        advice = (
            f"The other codebooks have {n_rows:,.0f} rows of codes, fewer than items: add one that is learned, and "
            "wrap the tokenizer in UniqueTokenizer(strategy='reassign')."
        )
    yield (
        f"The last codebook only tells apart items whose other codes are equal: {sign}, and the collision rate is "
        f"{before:.2%} without it, {after:.2%} with it. Items that share such a code have nothing in common, so that "
        f"it teaches a model nothing about others. {advice}"
    )


def _about_prefixes(audit):
    codes = audit.distinct_codes
    if not _last_codebook_hides_collisions(codes):
        return
    before, after = prefix_collision_rates(codes)[-2:]
    chance = _collision_rate_by_chance(len(codes), np.prod(audit.sizes[:-1].astype(float)))
    if before >= _COLLISIONS and _odds(before) >= _CROWDED * _odds(chance):
        yield (
            f"The last codebook hides collisions: without it the collision rate is {before:.2%}, with it {after:.2%}; "
            f"random codes of the same sizes have {chance:.2%} without it. The codes before it crowd, and what reads "
            "prefixes (beam search, PrefixNGramEncoder) meets that. Spread the first codebooks more evenly, see their "
            "perplexity, rather than repair the last one."
        )


def _about_copies(audit):
    chance = audit.redundancy_by_chance
    excess = np.triu((audit.redundancy - chance) / np.maximum(1 - chance, 1e-9), k=1)
    pairs = np.argwhere(excess > _NEAR_COPY)
    if len(pairs):
        a, b = np.unravel_index(excess.argmax(), excess.shape)
        n_pairs = len(chance) * (len(chance) - 1) // 2
        yield (
            f"{_by_design('Near copies', audit)}: {len(pairs)} of {n_pairs} pairs of codebooks say mostly the same, "
            f"{a} and {b} the most (NMI {audit.redundancy[a, b]:.2f}, by chance {chance[a, b]:.2f}), and hardly tell "
            f"more items apart than one of them. {_GRADED_COPY if _is_graded(audit) else _OTHERS_COPY}"
        )


def _by_design(finding, audit):
    return f"{finding}, by design" if _is_graded(audit) else finding


def _is_graded(audit):
    """Whether the codebooks grow one by one, as those of ``codebook_size="graded"`` do."""
    sizes = audit.sizes
    return len(sizes) > 2 and bool((np.diff(sizes) > 0).all()) and sizes[-1] >= _GRADED * sizes[0]


def _reach_of_chance(audit):
    """Number of codes of each codebook that even random codes would use, with so many distinct items."""
    n_items = np.count_nonzero(audit.is_first)
    return np.array([n_items * (1 - _collision_rate_by_chance(n_items, int(size))) for size in audit.sizes])


def _collision_rate_by_chance(n_items, n_rows):
    """Expected collision rate of codes drawn evenly from so many rows of codes."""
    # log1p and expm1: 256^7 rows of codes leave no digits to (1 - 1 / n_rows) ** n_items.
    n_distinct = -n_rows * np.expm1(n_items * np.log1p(-1 / n_rows)) if n_rows > 1 else 1
    return 1 - n_distinct / n_items


def _odds(rate):
    return rate / (1 - rate)


def _dominant_share(codes):
    return np.unique(codes, return_counts=True)[1].max() / len(codes)


def _n_used(audit, n):
    return round(audit.usage[n] * audit.sizes[n])


def _so_do(codebooks, but=None):
    others = [str(n) for n in sorted(codebooks) if n != but]
    return f"; likewise codebook{'s' * (len(others) > 1)} {', '.join(others)}" if others else ""


def _if_sizes_are_guessed(audit):
    if audit.sizes_are_known:
        return ""
    return " (The size is the largest code + 1: pass codebook_size if it is another.)"
