"""What a run of training is told: what changes its weights, and apart from that what it shows and saves on the way."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field, field_validator

from firn.core.settings import Settings
from firn.tokens.mixture import StageSettings
from firn.tokens.objectives import ObjectiveSettings
from firn.train.guard import GuardSettings
from firn.train.schedule import ScheduleSettings
from firn.train.stop import duration


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

    model_config = ConfigDict(populate_by_name=True)

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
    precision: Literal["auto", "fp32", "bf16", "fp16", "fp8"] = "auto"
    """Arithmetic of the matrix products; weights, norms and the loss are fp32 in all of them. auto: bf16 where the
    processor computes in it natively, else fp32; the choice is recorded with the first checkpoint and kept. fp16: with
    a scaled loss, for GPUs before Ampere. fp8: on GPUs of Ada's or Hopper's kind and later."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Whether the model's blocks are compiled (torch.compile). auto: measured at the start of a run that is long enough
    for it to pay; the choice is recorded and kept. Where it fails they are not, and the run says so."""
    start: str | None = Field(default=None, alias="from")
    """RUN@STEP, or RUN for the last checkpoint of a finished one: weights, shape and optimizer state of another run's
    checkpoint, from which this one begins with a schedule of its own: an annealing, or a branch. null: random weights,
    or `model.from`."""
    guard: GuardSettings = GuardSettings()
    """Which updates are left out, and what follows."""
    optimizer: OptimizerSettings = OptimizerSettings()
    """Which optimizer updates what, and how fast."""
    schedule: ScheduleSettings = ScheduleSettings()
    """The course of the learning rates."""

    @property
    def stages(self) -> tuple[StageSettings, ...]:
        """The stages of the batch plan that these settings ask for."""
        return (StageSettings(window=self.window, batch=self.batch, tokens=self.steps * self.window * self.batch),)


class WandbSettings(Settings):
    """A run at Weights & Biases (the package wandb). Its key comes from the environment or `wandb login`."""

    project: str
    """The project that the run belongs to."""
    entity: str | None = None
    """User or team; null: the account's own."""
    name: str | None = None
    """Name of the run; null: one is drawn."""
    mode: Literal["online", "offline"] = "online"
    """offline: into the training's folder, to be sent by `wandb sync`."""


class TrackioSettings(Settings):
    """A run in trackio (the package trackio), which keeps its records on this machine or in a Hugging Face space."""

    project: str
    """The project that the run belongs to."""
    name: str | None = None
    """Name of the run; null: one is drawn."""
    space: str | None = None
    """The Hugging Face space that shows it; null: this machine."""


class PricesSettings(Settings):
    """What the machine costs."""

    dollars_per_hour: float | None = Field(default=None, ge=0)
    """Rent; null: unknown."""
    watts: float | None = Field(default=None, ge=0)
    """Power that it draws in training; null: unknown."""


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
    keep_every: int | None = Field(default=None, ge=1)
    """Checkpoints after a multiple of so many steps are kept for good, to branch from them; null: none."""
    keep_best: bool = False
    """Whether the checkpoint with the lowest held-out figure stays, of those taken right after a validation."""
    time_limit: str | None = None
    """Time after which training saves and stops with exit code 75, as 3h, 90m or 1h30m; the same command goes on. It is
    looked at after each step: leave a scheduler's limit some minutes for the last checkpoint. null: none."""
    groups_every: int = Field(default=50, ge=0)
    """Steps between measurements of gradient norm and size of update by group of parameters; 0: never. Such a step
    holds one more copy of the weights."""
    prompts: tuple[str, ...] = ()
    """What the model completes at each validation."""
    sample_tokens: int = Field(default=48, ge=1)
    """Tokens per completion."""
    wandb: WandbSettings | None = None
    """Send the records to Weights & Biases as well; null: do not."""
    trackio: TrackioSettings | None = None
    """Send the records to trackio as well; null: do not."""
    prices: PricesSettings | None = None
    """What the machine costs, to show dollars and kWh so far; null: unknown."""

    @field_validator("time_limit")
    @classmethod
    def _is_a_duration(cls, value: str | None) -> str | None:
        if value is not None:
            duration(value)
        return value
