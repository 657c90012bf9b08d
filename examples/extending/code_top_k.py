"""A code from outside the package: the k largest numbers, with noise, a term and a buffer of its own."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from isthmus.codes import Code, Coded, Term, register
from isthmus.parts import CodePart


@dataclass(frozen=True, repr=False)
class TopK(CodePart):
    """The k largest numbers of each sample's code, the others 0 (Makhzani and Frey 2014); noisy in training.

    weight: of the squares of what is not kept, which grows during the first epoch.
    """

    kind: ClassVar[str] = "top-k"
    k: int = 3
    sigma: float = 0.01
    weight: float = 1e-3


class TopKCode(Code):
    def __init__(self, part, code_size, generator):
        super().__init__()
        self.part = part
        self.register_buffer("since", torch.zeros(code_size, dtype=torch.int64))  # steps since each unit was in use
        self.register_buffer("in_use", torch.zeros(code_size, dtype=torch.bool))

    def at_inference(self, z):
        return z * (z >= z.topk(self.part.k).values[:, -1:])

    def in_training(self, z, generator):
        code = self.at_inference(z)
        self.in_use.copy_((code != 0).any(dim=0))
        noise = torch.randn(code.shape, generator=generator, device=code.device, dtype=code.dtype)
        lost = Term((z - code).square(), self.part.weight, warmup=1)
        return Coded(code, code + self.part.sigma * noise * (code != 0), {"lost": lost})

    @torch.no_grad()
    def after_step(self):
        self.since.add_(1).masked_fill_(self.in_use, 0)

    def tally(self, z):
        return (self.at_inference(z) != 0).sum(dim=0)

    def figures(self, total, n):
        return {"units_ever_kept": int((total > 0).sum())}

    def collapse(self):
        if bool((self.since < 100).any()):
            return None
        return "no unit was kept for 100 steps", "every number of the code is 0", "take a smaller learning rate"


register(TopK, TopKCode)
