"""Small symmetric systems of equations, many at once, one for each spot along the last axis.

Elimination without a choice of pivots, which positive definite matrices do not need. A library call a matrix would take
longer than everything else in a fit.

Shapes: K systems, P unknowns, R right-hand sides.
"""

from __future__ import annotations

import torch
from torch import Tensor


def solve(matrices: Tensor, right: Tensor) -> Tensor:
    """Solutions [P, R, K] of ``matrices`` [P, P, K] times them being ``right`` [P, R, K]; not finite where none is."""
    n = len(matrices)
    both = torch.cat([matrices, right], 1)
    for pivot in range(n):
        row = both[pivot, pivot + 1 :] / both[pivot, pivot]
        both[:, pivot + 1 :] -= both[:, pivot, None] * row
        both[pivot, pivot + 1 :] = row
    return both[:, n:]


def inverse_diagonal(matrices: Tensor) -> Tensor:
    """[P, K] diagonals of the inverses of ``matrices`` [P, P, K], in double precision."""
    n = len(matrices)
    one = torch.eye(n, dtype=torch.float64, device=matrices.device)[:, :, None].expand(n, n, matrices.shape[2])
    return solve(matrices.double(), one).diagonal(dim1=0, dim2=1).T
