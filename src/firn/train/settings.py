"""What a run of training is told: what changes its weights, and apart from that what it shows and saves on the way."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from firn.core.settings import Settings
from firn.tokens.mixture import StageSettings
from firn.tokens.objectives import ObjectiveSettings
from firn.train.schedule import ScheduleSettings


class OptimizerSettings(Settings):
    """Muon on the hidden matrices, AdamW on the rest, each group with a learning rate of its own."""

    matrices: Literal["muon", "adamw"] = "muon"
    """What updates the matrices inside the blocks."""
    matrix_lr: float = Field(default=0.02, gt=0)
    """Learning rate of these matrices. AdamW wants about a tenth of Muon's, or `muon_scaling: rms` makes them alike."""
    embedding_lr: float | None = Field(default=None, gt=0)
    """Learning rate of the embedding tables. None: 0.3 for a table of its own whose entries start near one, as
    modded-nanogpt and nanochat have it (most rows get few gradients, so those must count); 0.003 for one that is the
    head as well, or that starts at 0.02 as in GPT-2."""
    head_lr: float = Field(default=0.01, gt=0)
    """Learning rate of the output head where it is not tied to the embedding; it then follows `embedding_lr`. Best at
    widths 128 to 256; nanochat lets it fall with the root of the width, to 0.004 at 768."""
    vector_lr: float = Field(default=0.01, gt=0)
    """Learning rate of norm weights and biases."""
    beta1: float = Field(default=0.8, ge=0, lt=1)
    """AdamW: decay of the mean of gradients."""
    beta2: float = Field(default=0.95, ge=0, lt=1)
    """AdamW: decay of the mean of squared gradients."""
    epsilon: float = Field(default=1e-10, gt=0)
    """AdamW: added to the root of the mean of squares."""
    momentum: float = Field(default=0.95, ge=0, lt=1)
    """Muon: decay of the mean of gradients, after its warm-up from 0.85."""
    momentum_warmup: int = Field(default=100, ge=0)
    """Muon: steps of the momentum's warm-up."""
    polynomials: Literal["polar-express", "newton-schulz"] = "polar-express"
    """Muon: what makes an update orthogonal. polar-express comes nearest in as many steps (Amsel et al. 2025)."""
    polynomial_steps: int = Field(default=5, ge=1, le=7)
    """Muon: polynomials per update."""
    muon_scaling: Literal["spectral", "rms"] = "spectral"
    """Muon: what its rate is in units of. spectral: of the update's spectral norm. rms: of AdamW's usual update, so
    that rates and decay tuned for AdamW fit (Liu et al. 2025)."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Share of each matrix and table taken away per step, times its learning rate. Norm weights and biases keep all."""
    embedding_decay: float | None = Field(default=None, ge=0)
    """The same for embedding tables alone; null: `weight_decay`. At rates that suit a table whose entries start near
    one, 0: rows of rare tokens would be forgotten between one visit and the next."""
    head_decay: float | None = Field(default=None, ge=0)
    """The same for the output head; null: `weight_decay`."""
    cautious: bool = False
    """Muon: decay only weights that the update moves towards zero."""
    row_beta: float | None = Field(default=None, ge=0, lt=1)
    """Muon: divide each row of an update by the root of the running mean of its squares, with this decay (NorMuon, Li
    et al. 2025; 0.95 there). None: do not."""
    clip: float | None = Field(default=None, gt=0)
    """Longest gradient (Euclidean, over all parameters); longer ones are scaled down. None: no limit."""
    average: float | None = Field(default=None, ge=0, lt=1)
    """Decay of a running mean of all weights (EMA), which is the model that training ends in; validations on the way
    are of the weights themselves. None: the last weights are the model, as a schedule that ends low wants it."""


class TrainSettings(ObjectiveSettings):
    """One training run. All of it enters the weights."""

    steps: int = Field(default=1000, ge=1)
    """Optimizer steps."""
    window: int = Field(default=256, ge=1)
    """Tokens per window (T), at most the model's context. In runs of a few million tokens 256 learns more than 512 or
    1024 from as many tokens."""
    batch: int = Field(default=16, ge=1)
    """Windows per step (B). 4,096 tokens suit runs of a few million; fewer leave Muon's products without work to hide
    behind, more leave too few steps."""
    micro_batch: int | None = Field(default=None, ge=1)
    """Windows per forward pass; the batch is accumulated from them. None: the whole batch at once."""
    seed: int = Field(default=0, ge=0)
    """Of the initial weights and the order of windows."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the matrix products. auto: bf16 where the processor computes in it natively, else fp32; the choice
    is recorded with the first checkpoint and kept."""
    bad_steps: int = Field(default=3, ge=1)
    """How many steps in a row may have a loss or gradient that is not finite before training gives up."""
    optimizer: OptimizerSettings = OptimizerSettings()
    """Which optimizer updates what, and how fast."""
    schedule: ScheduleSettings = ScheduleSettings()
    """The course of the learning rates."""

    @property
    def stages(self) -> tuple[StageSettings, ...]:
        """The stages of the batch plan that these settings ask for."""
        return (StageSettings(window=self.window, batch=self.batch, tokens=self.steps * self.window * self.batch),)


class WatchSettings(Settings):
    """What a run shows and saves on the way. Nothing of it changes a weight, so it enters no fingerprint."""

    validate_every: int = Field(default=100, ge=0)
    """Steps between validations; 0: only at the end."""
    validation_tokens: int = Field(default=8192, ge=1)
    """Tokens per source that a validation on the way reads. The evaluation at the end reads all."""
    checkpoint_every: int = Field(default=100, ge=1)
    """Steps between checkpoints."""
    keep: int = Field(default=2, ge=1)
    """Newest checkpoints that are kept."""
    prompts: tuple[str, ...] = ()
    """What the model completes at each validation."""
    sample_tokens: int = Field(default=48, ge=1)
    """Tokens per completion."""
