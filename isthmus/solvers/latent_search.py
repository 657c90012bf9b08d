"""Local minima of mean_j (decoder(z)_j - y_j)² in z, for a batch at once, each image with its own damping and end.

The damped Gauss-Newton method (Levenberg 1944, Marquardt 1963) solves K×K systems for codes of K numbers; gradient
descent and Adam are there to compare with. Bounds on the code are kept by projection (Bertsekas 1982).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from isthmus.errors import one_of
from isthmus.networks.decoders import Decoder

SOLVERS = ("adam", "gauss-newton", "gradient-descent")
REASONS = ("converged", "stalled", "iterations", "diverged")  # why a search ended
CONVERGED, STALLED, ITERATIONS, DIVERGED = range(4)
# damping of the Gauss-Newton systems, as a share of their largest diagonal element
_FIRST_DAMPING, _LEAST_DAMPING, _MOST_DAMPING = 1e-2, 1e-7, 1e4
_MOST_GROUP, _LEAST_GROUP = 256, 16  # images that go through a decoder together
_JUDGED = 10_000  # columns of Jacobians at a time, when first-order searches are judged: bounded memory


@dataclass(frozen=True)
class Search:
    """What was found for n images.

    code: (n, k), the best one that the search came by. objective: (n,), the mean squared residual at it. n_iter: (n,),
    steps that were tried. reason: (n,), positions in REASONS: converged, a full step promises less than the tolerance;
    stalled, it promises more, but the solver's steps make the objective no less (where rectifiers switch, there are
    minima with a slope on each side), or for first-order solvers by less than the tolerance; iterations, the limit was
    reached; diverged, it was not finite any more.
    """

    code: torch.Tensor
    objective: torch.Tensor
    n_iter: torch.Tensor
    reason: torch.Tensor

    @staticmethod
    def join(parts: list[Search]) -> Search:
        """One after the other."""
        return Search(*(torch.cat([getattr(p, name) for p in parts]) for name in Search.__dataclass_fields__))

    def better_of(self, other: Search) -> Search:
        """Of two searches for the same images, the one with the smaller objective, image by image; steps add up."""
        better = self.objective.nan_to_num(torch.inf) <= other.objective.nan_to_num(torch.inf)
        return Search(
            torch.where(better[:, None], self.code, other.code),
            torch.where(better, self.objective, other.objective),
            self.n_iter + other.n_iter,
            torch.where(better, self.reason, other.reason),
        )


class _InGroups:
    """A decoder that is given images in groups of few sizes, however many there are.

    Without the images that have ended there is another number of them in each step, and oneDNN, where it multiplies,
    keeps what it compiles for each shape: 0.6 MiB a product, up to a thousand of them, of which a search met hundreds.
    """

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder

    def decode(self, code: torch.Tensor) -> torch.Tensor:
        sizes = _groups(code)
        return torch.cat([self.decoder.decode(each) for each in code.split(sizes)])

    def gradient(self, code: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        sizes = _groups(code)
        pairs = zip(code.split(sizes), y.split(sizes), strict=True)
        return torch.cat([self.decoder.gradient(*pair) for pair in pairs])

    def normal_equations(self, code: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        sizes = _groups(code)
        pairs = zip(code.split(sizes), y.split(sizes), strict=True)
        matrices, gradients = zip(*(self.decoder.normal_equations(*pair) for pair in pairs), strict=True)
        return torch.cat(matrices), torch.cat(gradients)


def _groups(code: torch.Tensor) -> list[int]:
    """Powers of two, the largest first, and one of fewer than `_LEAST_GROUP` images; on a GPU all of them are one."""
    if code.device.type != "cpu":
        return [len(code)]
    sizes, left = [_MOST_GROUP] * (len(code) // _MOST_GROUP), len(code) % _MOST_GROUP
    while left >= _LEAST_GROUP:
        sizes.append(1 << left.bit_length() - 1)
        left -= sizes[-1]
    return [*sizes, left] if left or not sizes else sizes


class _Batch:
    """The images whose search goes on, and what is known of each; those that end are written to the result."""

    def __init__(
        self,
        decoder: _InGroups,
        y: torch.Tensor,
        start: torch.Tensor,
        lower: float | None,
        on_step: Callable[[torch.Tensor, torch.Tensor], None] | None = None,
    ) -> None:
        n = len(y)
        self.decoder, self.y, self.lower, self.on_step = decoder, y, lower, on_step
        self.code = start.clone() if lower is None else start.clamp(min=lower)
        self.which = torch.arange(n, device=y.device)
        self.objective = (decoder.decode(self.code) - y).square().mean(dim=1)
        self.damping = torch.full((n,), _FIRST_DAMPING, dtype=y.dtype, device=y.device)
        self.result = Search(
            self.code.clone(),
            self.objective.clone(),
            torch.zeros(n, dtype=torch.int64, device=y.device),
            torch.full((n,), ITERATIONS, device=y.device),
        )

    def __len__(self) -> int:
        return len(self.which)

    def report(self) -> None:
        """Call `on_step` with the code and the objective of every image."""
        if self.on_step is not None:
            code, objective = self.result.code.clone(), self.result.objective.clone()
            code[self.which], objective[self.which] = self.code, self.objective
            self.on_step(code, objective)

    def keep(self) -> None:
        """Write down the codes that are better than what is written of their images."""
        better = self.objective < self.result.objective[self.which]  # False for what is not finite
        which = self.which[better]
        self.result.code[which], self.result.objective[which] = self.code[better], self.objective[better]

    def end(self, over: torch.Tensor, reason: int, n_iter: int) -> None:
        """Go on without the images in the mask `over`."""
        if not bool(over.any()):
            return
        self.keep()
        which = self.which[over]
        self.result.n_iter[which], self.result.reason[which] = n_iter, reason
        keep = ~over
        self.which, self.y, self.code = self.which[keep], self.y[keep], self.code[keep]
        self.objective, self.damping = self.objective[keep], self.damping[keep]


def search(
    decoder: Decoder,
    y: torch.Tensor,
    start: torch.Tensor,
    *,
    solver: str = "gauss-newton",
    lower: float | None = None,
    max_iter: int = 50,
    tol: float = 1e-4,
    learning_rate: float = 1.0,
    on_step: Callable[[torch.Tensor, torch.Tensor], None] | None = None,
) -> Search:
    """Search a code for each image. y: (n, n_features); start: (n, k), of the same dtype and device.

    lower: the least that each number of a code may be. max_iter: steps for one image. tol: a search has converged when
    a Gauss-Newton step without damping promises to make the objective less by less than this share of it. First-order
    solvers end when a step changes it by less than tol itself; they have converged if such a step promises no more than
    that. learning_rate: of these, on the mean squared residual.
    on_step: called after each step with the codes, (n, k), and objectives, (n,), of all images as they then are.
    """
    one_of("solver", solver, SOLVERS)
    batch = _Batch(_InGroups(decoder), y, start, lower, on_step)
    batch.end(~batch.objective.isfinite(), DIVERGED, 0)
    with torch.no_grad():
        if solver == "gauss-newton":
            _gauss_newton(batch, max_iter, tol)
        else:
            _first_order(batch, max_iter, tol, learning_rate, adam=solver == "adam")
        batch.end(torch.ones(len(batch), dtype=torch.bool, device=y.device), ITERATIONS, max_iter)
        if solver != "gauss-newton":
            _judge(batch.result, batch.decoder, y, lower, tol)
    return batch.result


def _gauss_newton(batch: _Batch, max_iter: int, tol: float) -> None:
    """Steps of (JᵀJ + damping) δ = -Jᵀr: damping falls when a step helps and rises when it does not."""
    system = None
    for i in range(1, max_iter + 1):
        if not len(batch):
            return
        if system is None:
            system = _systems(batch)
        matrix, gradient = system
        free = _free(batch.code, gradient, batch.lower)
        step = -_solved(matrix, gradient, free, batch.damping)
        promised = _promise(matrix, gradient, free) / batch.y.shape[1]
        tried = batch.code + step
        if batch.lower is not None:
            tried = tried.clamp(min=batch.lower)
        objective = (batch.decoder.decode(tried) - batch.y).square().mean(dim=1)
        better = objective < batch.objective  # False for what is not finite
        # judged before the step, which is taken nevertheless: what is then left is less than was promised
        small = promised <= tol * batch.objective
        batch.code = torch.where(better[:, None], tried, batch.code)
        batch.objective = torch.where(better, objective, batch.objective)
        batch.report()
        batch.damping = torch.where(better, batch.damping * 0.2, batch.damping * 8).clamp_(min=_LEAST_DAMPING)
        stalled = ~better & (batch.damping > _MOST_DAMPING)
        # only where the code moved is the system another one
        keep = ~(small | stalled)
        moved = better[keep]
        system = (matrix[keep], gradient[keep])
        batch.end(small, CONVERGED, i)
        batch.end(stalled[~small], STALLED, i)
        if len(batch) and bool(moved.any()):
            if bool(moved.all()):
                system = None
            else:
                fresh = _systems(batch, moved)
                system[0][moved], system[1][moved] = fresh


def _free(code: torch.Tensor, gradient: torch.Tensor, lower: float | None) -> torch.Tensor:
    """Which numbers may move: one at its bound stays there if the objective falls beyond it."""
    if lower is None:
        return torch.ones_like(gradient, dtype=torch.bool)
    return (code > lower) | (gradient < 0)


def _solved(matrix: torch.Tensor, gradient: torch.Tensor, free: torch.Tensor, damping: torch.Tensor) -> torch.Tensor:
    """(JᵀJ + damping)⁻¹ Jᵀr of the numbers that are free, 0 for the others: (n, k)."""
    scale = matrix.diagonal(dim1=1, dim2=2).amax(dim=1).clamp(min=1e-12)
    eye = torch.eye(matrix.shape[1], dtype=matrix.dtype, device=matrix.device)
    # numbers that stay get a row of their own, so that the system keeps its size
    matrix = torch.where(free[:, :, None] & free[:, None, :], matrix, 0 * eye)
    matrix = matrix + eye * torch.where(free, (damping * scale)[:, None], scale[:, None])[:, None, :]
    return torch.linalg.solve_ex(matrix, torch.where(free, gradient, 0))[0]


def _promise(matrix: torch.Tensor, gradient: torch.Tensor, free: torch.Tensor) -> torch.Tensor:
    """gᵀ(JᵀJ)⁻¹g, g = Jᵀr: by how much ‖r‖² would fall if the decoder were linear (the Gauss-Newton decrement), (n,).

    Without damping: what a damped step promises is little also where much is left.
    """
    least = max(_LEAST_DAMPING, 10 * torch.finfo(matrix.dtype).eps)  # for units that do nothing, and for rounding
    step = _solved(matrix, gradient, free, torch.full_like(gradient[:, 0], least))
    return (torch.where(free, gradient, 0) * step).sum(dim=1).abs()


def _judge(result: Search, decoder: _InGroups, y: torch.Tensor, lower: float | None, tol: float) -> None:
    """Of searches that made no more way, call those stalled for which a Gauss-Newton step promises more than tol.

    A first-order step is as small as its rate, so by itself it says nothing of what is left.
    """
    ended = (result.reason == CONVERGED).nonzero()[:, 0]
    at_a_time = max(1, _JUDGED // result.code.shape[1])
    for begin in range(0, len(ended), at_a_time):
        which = ended[begin : begin + at_a_time]
        code = result.code[which]
        matrix, gradient = decoder.normal_equations(code, y[which])
        promised = _promise(matrix, gradient, _free(code, gradient, lower)) / y.shape[1]
        result.reason[which[~(promised <= tol)]] = STALLED


def _systems(batch: _Batch, which: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """JᵀJ, (n, k, k), and Jᵀr, (n, k), at the codes."""
    code, y = (batch.code, batch.y) if which is None else (batch.code[which], batch.y[which])
    return batch.decoder.normal_equations(code, y)


def _first_order(batch: _Batch, max_iter: int, tol: float, learning_rate: float, *, adam: bool) -> None:
    """Gradient descent, or Adam (Kingma and Ba 2015), on each image's own mean squared residual."""
    first = torch.zeros_like(batch.result.code)
    second = torch.zeros_like(first)
    for i in range(1, max_iter + 1):
        if not len(batch):
            return
        gradient = batch.decoder.gradient(batch.code, batch.y)
        if adam:
            which = batch.which
            first[which] = 0.9 * first[which] + 0.1 * gradient
            second[which] = 0.999 * second[which] + 0.001 * gradient.square()
            gradient = first[which] / (1 - 0.9**i) / ((second[which] / (1 - 0.999**i)).sqrt() + 1e-8)
        batch.code = batch.code - learning_rate * gradient
        if batch.lower is not None:
            batch.code = batch.code.clamp(min=batch.lower)
        before = batch.objective
        batch.objective = (batch.decoder.decode(batch.code) - batch.y).square().mean(dim=1)
        batch.keep()  # a step may be too long, and the next ones too
        batch.report()
        over = (before - batch.objective).abs() < tol
        lost = ~batch.objective.isfinite()
        batch.end(lost, DIVERGED, i)
        batch.end(over[~lost], CONVERGED, i)
