"""Functions that leave each row what it is: no other row changes where one of them does."""

from __future__ import annotations

import einops
import pytest
import torch
from torch.nn import functional

from mechanistic_claims.measurement.cases import drawn, plain

ROWS, COLUMNS, UNITS = 6, 5, 4
TABLE = torch.rand(UNITS, 3, generator=torch.Generator().manual_seed(1))
PLACES = torch.arange(ROWS)[:, None] % COLUMNS
BOOLS = torch.rand(ROWS, COLUMNS, generator=torch.Generator().manual_seed(2)) > 0.5
KEPT = {
    "clamp_min": lambda x: x.clamp_min(0.3),
    "entropy": lambda x: torch.special.entr(x).sum(dim=-1),
    "squeeze": lambda x: x[:, :, :1].squeeze(-1),
    "diff": lambda x: x.diff(dim=-1),
    "diff of the last": lambda x: x.diff(),
    "linalg.norm": lambda x: torch.linalg.norm(x, dim=-1),
    "vector_norm": lambda x: torch.linalg.vector_norm(x, dim=-1),
    "normalize": lambda x: functional.normalize(x, dim=-1),
    "linear": lambda x: functional.linear(x, TABLE.T),
    "layer_norm": lambda x: functional.layer_norm(x, (UNITS,)),
    "ellipsis": lambda x: x[..., 0],
    "new axis": lambda x: x[:, None] * x[:, :, None],
    "axes by ellipsis": lambda x: x[..., :, None] * x[..., None, :],
    "several": lambda x: x[:, [0, 2], [1, 3]],
    "place of each": lambda x: x[torch.arange(ROWS)[:, None], PLACES],
    "cummax": lambda x: x.cummax(dim=-1).values,
    "roll": lambda x: x.roll(1, dims=1),
    "flip": lambda x: x.flip(1),
    "unbind": lambda x: x.unbind(-1)[0],
    "split": lambda x: x.split(2, dim=-1)[0],
    "chunk": lambda x: x.chunk(2, dim=1)[0],
    "cat": lambda x: torch.cat([x, x], dim=1),
    "expand": lambda x: x[:, :, :1].expand(ROWS, COLUMNS, 3),
    "take_along_dim": lambda x: x.take_along_dim(x.argsort(dim=1), dim=1),
    "merge": lambda x: einops.rearrange(x, "row column unit -> row (column unit)"),
    "mT": lambda x: x.mT,
    "bmm": lambda x: torch.bmm(x, x.mT),
    "scores": lambda x: x @ x.mT,
    "one_hot": lambda x: functional.one_hot(x.argmax(dim=-1), UNITS),
    "look up": lambda x: TABLE[x.argmax(dim=-1)],
    "embedding": lambda x: functional.embedding(x.argmax(dim=-1), TABLE),
    "repeat": lambda x: x.repeat(1, 2, 1),
    "tril": lambda x: x.tril(),
    "quantile": lambda x: x.quantile(0.5, dim=-1),
    "kthvalue": lambda x: x.kthvalue(2, dim=-1).values,
    "unflatten": lambda x: x.unflatten(-1, (2, 2)),
    "count_nonzero": lambda x: (x > 0.5).count_nonzero(dim=1),
    "bucketize": lambda x: torch.bucketize(x, torch.tensor([0.3, 0.6])),
    "isin": lambda x: torch.isin((x * 4).long(), torch.tensor([1, 3])),
    "swapaxes": lambda x: x.swapaxes(1, 2),
    "larger of two": lambda x: x.max(1 - x),
    "std_mean": lambda x: torch.std_mean(x, dim=-1)[0],
}
LOST = {
    "roll": lambda x: x.roll(1, dims=0),
    "roll of all": lambda x: x.roll(1),
    "flip": lambda x: x.flip(0),
    "first axis": lambda x: x[None].expand(ROWS, *x.shape)[:, 0],
    "expanded before": lambda x: x[:, 0, 0].expand(ROWS, ROWS),
    "linear of rows": lambda x: functional.linear(x[:, 0, 0], torch.ones(ROWS, ROWS)),
    "columns by draws": lambda x: x[:, (x[:COLUMNS, 0, 0] * 3).long()],
    "norm of columns": lambda x: functional.normalize(x, dim=0),
    "cat": lambda x: torch.cat([x[:3], x[3:]]).flip(0),
    "chosen by another row": lambda x: x.index_select(1, x[:, 0, 0].argsort().clamp(max=4)),
    "apart": lambda x: x[:, [0, 1, 2, 3, 4, 0], None, [0, 1, 2, 3, 0, 1]],
    "wider": lambda x: x[torch.arange(ROWS), torch.zeros(ROWS, ROWS, dtype=torch.long)],
    "distances": lambda x: torch.cdist(x[:, 0], x[:, 0]),
    "T": lambda x: x[:, :, 0].T,
    "tril of rows": lambda x: (x[:, :, 0] @ torch.ones(COLUMNS, ROWS)).tril(),
    "table": lambda x: torch.embedding(x[:, 0], torch.arange(ROWS).flip(0)),
    "swapaxes": lambda x: x.repeat(1, 2, 1)[:, :ROWS].swapaxes(0, 1),
    "matrix of rows": lambda x: torch.ones(ROWS, ROWS) @ x[:, 0],
    "unique": lambda x: x[:, 0, 0].unique(),
    "repeat": lambda x: x.repeat(2, 1, 1)[::2],
    "squeeze": lambda x: x[:, :1, :1].squeeze(),
}


@pytest.fixture
def values():
    return torch.rand(ROWS, COLUMNS, UNITS, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("function", KEPT.values(), ids=KEPT)
def test_a_row_is_made_of_its_own_alone(values, function):
    made = function(drawn(values))
    assert made.draw.tolist() == [*range(ROWS)]
    assert torch.equal(plain(made), function(values))
    for row in range(ROWS):
        other = values.clone()
        other[row] = torch.rand(COLUMNS, UNITS, generator=torch.Generator().manual_seed(9))
        same = torch.arange(ROWS) != row
        assert torch.equal(function(other)[same], plain(made)[same])


@pytest.mark.parametrize("function", LOST.values(), ids=LOST)
def test_what_mixes_rows_has_lost_them(values, function):
    made = function(drawn(values))
    assert made.draw is None
    assert made.lost


@pytest.mark.parametrize("by_draws", [False, True])
def test_a_mask_of_several_axes_chooses_rows_of_the_draws(values, by_draws):
    """Of what is drawn by a constant, and of constants by what is drawn."""
    mask = drawn(BOOLS) if by_draws else BOOLS
    chosen = (values if by_draws else drawn(values))[mask]
    assert chosen.draw.tolist() == BOOLS.nonzero()[:, 0].tolist()
    both = drawn(values)[drawn(values)[..., 0] > 0.5]
    assert both.draw.tolist() == (values[..., 0] > 0.5).nonzero()[:, 0].tolist()
    other = drawn(values.flip(0))[[5, 4, 3, 2, 1, 0]][..., 0] > 0.5
    assert drawn(values)[other].draw is None
