"""Scaling laws: what loss a model of N parameters on D tokens reaches."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Law:
    """L(N, D) = E + A / N^alpha + B / D^beta, in nats per token (Hoffmann et al. 2022, equation 2)."""

    E: float
    A: float
    B: float
    alpha: float
    beta: float

    def loss(self, parameters: float, tokens: float) -> float:
        """Expected loss in nats per token."""
        return self.E + self.A / parameters**self.alpha + self.B / tokens**self.beta

    def optimum(self, flops: float) -> tuple[float, float]:
        """Parameters and tokens with the lowest loss at C = 6 N D FLOPs (Hoffmann et al. 2022, equation 4)."""
        ratio = (self.alpha * self.A / (self.beta * self.B)) ** (1 / (self.alpha + self.beta))
        parameters = ratio * (flops / 6) ** (self.beta / (self.alpha + self.beta))
        return parameters, flops / 6 / parameters

    def tokens_for(self, parameters: float, loss: float) -> float | None:
        """Tokens with which a model of this size reaches `loss`; None where no number of tokens does."""
        gap = loss - self.E - self.A / parameters**self.alpha
        return (self.B / gap) ** (1 / self.beta) if gap > 0 else None


#: Besiroglu et al. 2024, refitted to Hoffmann et al.'s own data: the default.
BESIROGLU = Law(E=1.8172, A=482.01, B=2085.43, alpha=0.3478, beta=0.3658)
#: Hoffmann et al. 2022, as printed (rounded, and known to disagree with the paper's other two approaches).
HOFFMANN = Law(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
