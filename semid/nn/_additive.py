"""Joint refinement of codebooks whose code vectors are summed: additive quantization.

Alternates, as local search quantization does (Martinez et al., 2018, "LSQ++", ECCV, from memory), between the best code
vectors for given codes, a linear least-squares problem, and better codes for given code vectors, by iterated
conditional modes from perturbed codes. Noise on the code vectors, which fades out, keeps it from the next local
optimum.

Letters: n rows, D their width, N codebooks, K codes in a codebook.
"""

import torch

from semid.nn._kmeans import argmin

BLOCK = 1_024  # rows whose scores for one codebook stay in the cache
SWEEPS = 2  # passes over the codebooks from each start
RIDGE = 1e-3  # in rows; makes unused and interchangeable code vectors small instead of undetermined


def refine(x, weights, codebooks, codes, n_rounds, generator, on_round=None):
    """Return better code vectors, N tensors (K, D), and codes (n, N) for the rows `x` (n, D)."""
    for round_ in range(n_rounds):
        codebooks = least_squares_code_vectors(x, weights, codes, codebooks)
        fading = 1 - (round_ + 1) / n_rounds
        noisy = _perturb_code_vectors(codebooks, x, fading**0.5 / len(codebooks), generator)
        codes = improve_codes(x, noisy, codes, 3 if fading else 1, generator)
        if on_round is not None:
            on_round(codebooks, codes)
    return least_squares_code_vectors(x, weights, codes, codebooks), codes


def least_squares_code_vectors(x, weights, codes, codebooks, ridge=RIDGE):
    """Return the code vectors whose sums come closest to the rows, given their codes; in the shapes of `codebooks`."""
    sizes = [len(codebook) for codebook in codebooks]
    weighted, double_weights = x * weights[:, None], weights.double()
    ends = torch.tensor(sizes).cumsum(0).tolist()
    columns = [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]  # of the one-hot design matrix
    gram = torch.zeros(ends[-1], ends[-1], dtype=torch.float64, device=x.device)
    targets = torch.zeros(ends[-1], x.shape[1], dtype=x.dtype, device=x.device)
    for n, (own, code) in enumerate(zip(columns, codes.T, strict=True)):
        targets[own].index_add_(0, code, weighted)
        gram.diagonal()[own] = torch.bincount(code, weights=double_weights, minlength=sizes[n])
        for m, others in enumerate(columns[:n]):
            pairs = torch.bincount(code * sizes[m] + codes[:, m], double_weights, minlength=sizes[n] * sizes[m])
            gram[own, others] = pairs.view(sizes[n], sizes[m])
            gram[others, own] = gram[own, others].T
    gram.diagonal().add_(ridge)
    solution = torch.cholesky_solve(targets.double(), torch.linalg.cholesky(gram))
    return list(solution.to(x.dtype).split(sizes))


def improve_codes(x, codebooks, codes, n_perturbations, generator):
    """Return codes (n, N) whose sums of code vectors are no farther from the rows of `x`, mostly nearer."""
    gram = [[a @ b.T for b in codebooks] for a in codebooks]  # (K, K) each
    offsets = [codebook.square().sum(1) / 2 for codebook in codebooks]
    improved = []
    for rows, start in zip(x.split(BLOCK), codes.split(BLOCK), strict=True):
        # costs[n]: |e|² / 2 - x·e of each code
        costs = [offset - rows @ codebook.T for offset, codebook in zip(offsets, codebooks, strict=True)]
        best, best_energy = _conditional_modes(costs, gram, start)
        for _ in range(n_perturbations):
            candidate, energy = _conditional_modes(costs, gram, _perturb_codes(best, codebooks, generator))
            better = energy < best_energy
            best = torch.where(better[:, None], candidate, best)
            best_energy = torch.where(better, energy, best_energy)
        improved.append(best)
    return torch.cat(improved)


def _conditional_modes(costs, gram, codes):
    """Choose each code anew, given the others, a few times over; returns codes and |x - Σe|² / 2 - |x|² / 2."""
    codes = list(codes.T)
    for _ in range(SWEEPS):
        for n, cost in enumerate(costs):
            others = [gram[m][n].index_select(0, code) for m, code in enumerate(codes) if m != n]
            scores = sum(others[1:], start=cost + others[0]) if others else cost
            codes[n] = argmin(scores)
    energy = sum(cost.gather(1, code[:, None]).squeeze(1) for cost, code in zip(costs, codes, strict=True))
    for n, code in enumerate(codes):
        for m in range(n):
            energy = energy + gram[m][n][codes[m], code]
    return torch.stack(codes, 1), energy


def _perturb_codes(codes, codebooks, generator):
    """Give each row a random code in one random codebook."""
    n_rows, n_codebooks = codes.shape
    which = torch.randint(n_codebooks, (n_rows,), generator=generator).to(codes.device)
    sizes = torch.tensor([len(codebook) for codebook in codebooks]).to(codes.device)
    draws = torch.rand(n_rows, generator=generator).to(codes.device)
    perturbed = codes.clone()
    perturbed[torch.arange(n_rows, device=codes.device), which] = (draws * sizes[which]).long()
    return perturbed


def _perturb_code_vectors(codebooks, x, amount, generator):
    deviations = x.std(0, correction=0)
    return [
        codebook + amount * deviations * torch.randn(codebook.shape, generator=generator).to(codebook)
        for codebook in codebooks
    ]
