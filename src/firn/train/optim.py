"""Which optimizer updates which parameter: groups by rule, and every parameter in exactly one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from firn.core.errors import FirnError
from firn.model.config import ModelSettings
from firn.train.muon import Muon
from firn.train.schedule import momentum
from firn.train.settings import OptimizerSettings

_FIRST_MOMENTUM = 0.85
_AVERAGE = "average"


@dataclass(frozen=True)
class Rule:
    """A parameter belongs to the group where its whole name matches `name` and it has `dimensions`."""

    group: str
    name: str
    dimensions: tuple[int, ...]

    def matches(self, name: str, parameter: Tensor) -> bool:
        return re.fullmatch(self.name, name) is not None and parameter.ndim in self.dimensions


#: Of firn's own decoders. `lm_head` is no parameter of its own where it is tied to the embedding.
RULES = (
    Rule("matrix", r"(layers|head)\..*", (2, 3)),
    Rule("embedding", r"embed_(tokens|positions|values\.\d+)\.weight", (2,)),
    Rule("head", r"lm_head\.weight", (2,)),
    Rule("vector", r".*", (1,)),
)


def group_parameters(model: nn.Module, rules: tuple[Rule, ...] = RULES) -> dict[str, dict[str, nn.Parameter]]:
    """group -> name -> parameter. Raises FirnError naming a parameter that no rule or more than one matches."""
    groups: dict[str, dict[str, nn.Parameter]] = {rule.group: {} for rule in rules}
    for name, parameter in model.named_parameters():
        found = [rule.group for rule in rules if rule.matches(name, parameter)]
        if len(found) != 1:
            which = f"{' and '.join(found)} claim it" if found else "no group claims it"
            raise FirnError(
                f"a parameter must belong to one optimizer group; {which}",
                key=name,
                mend="add or narrow a rule in firn.train.optim.RULES",
            )
        groups[found[0]][name] = parameter
    return groups


class Optimizers:
    """The optimizers of one model, as one.

    Muon or AdamW on the matrices, AdamW on embedding, head and vectors. State is keyed by parameter name.
    muon_dtype: of Muon's products; None: that of the parameters.
    """

    def __init__(
        self,
        model: nn.Module,
        settings: OptimizerSettings,
        muon_dtype: torch.dtype | None = None,
        rules: tuple[Rule, ...] = RULES,
    ):
        self.settings = settings
        self.names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
        groups = self.groups = group_parameters(model, rules)
        by_width = _by_width(model, settings)
        rates = {
            "matrix": settings.matrix_lr * by_width["matrix"],
            "embedding": settings.embedding_lr or _embedding_rate(model),
            "head": settings.head_lr * by_width["head"],
            "vector": settings.vector_lr,
        }
        # Divided by what the rate is multiplied with: the share taken away per step does not depend on the width.
        decays = {
            "matrix": settings.weight_decay / by_width["matrix"],
            "embedding": _or(settings.embedding_decay, settings.weight_decay),
            "head": _or(settings.head_decay, settings.weight_decay) / by_width["head"],
            "vector": 0.0,
        }
        by_adam = [
            {
                "params": list(parameters.values()),
                "lr": rates[group],
                "weight_decay": decays[group],
            }
            for group, parameters in groups.items()
            if parameters and not (group == "matrix" and settings.matrices == "muon")
        ]
        self.all: list[torch.optim.Optimizer] = []
        if by_adam:
            # Fused: one kernel per step; on CPU 3 to 4 times as fast as the loop over tensors.
            self.all.append(
                torch.optim.AdamW(by_adam, betas=(settings.beta1, settings.beta2), eps=settings.epsilon, fused=True)
            )
        self.muon: Muon | None = None
        if groups["matrix"] and settings.matrices == "muon":
            self.muon = Muon(
                groups["matrix"].values(),
                lr=rates["matrix"],
                weight_decay=decays["matrix"],
                cautious=settings.cautious,
                row_beta=settings.row_beta,
                scaling=settings.muon_scaling,
                polynomials=settings.polynomials,
                steps=settings.polynomial_steps,
                dtype=muon_dtype,
            )
            self.all.append(self.muon)
        for optimizer in self.all:
            for group in optimizer.param_groups:
                group["full_lr"] = group["lr"]
        #: Running mean of each parameter; empty where the settings ask for none.
        self.averages: dict[str, Tensor] = {}

    def step(self, step: int, factor: float, keep: Tensor | None = None) -> None:
        """Update number `step`, from 0, by the gradients, at `factor` of the full learning rates.

        keep: a boolean on the parameters' device; where it is false, weights and state stay as they are, whatever the
        gradients hold, and nobody waits to read it. None: true.
        """
        if self.muon is not None:
            now = momentum(
                step,
                first=min(_FIRST_MOMENTUM, self.settings.momentum),
                last=self.settings.momentum,
                warmup=self.settings.momentum_warmup,
            )
            self.muon.param_groups[0]["momentum"] = now
        for optimizer in self.all:
            for group in optimizer.param_groups:
                group["lr"] = group["full_lr"] * factor
            if isinstance(optimizer, Muon):
                optimizer.keep = keep
            elif keep is not None:
                # torch's fused kernels take it so from GradScaler: above zero, they leave everything as it is.
                optimizer.found_inf = 1.0 - keep.float()  # type: ignore[attr-defined]
            optimizer.step()
        if self.settings.average is not None:
            share = 1 - self.settings.average
            self._average(share if keep is None else share * keep)

    @torch.no_grad()
    def _average(self, share: float | Tensor) -> None:
        for parameter, name in self.names.items():
            if name in self.averages:
                self.averages[name].lerp_(parameter, share)
            else:
                self.averages[name] = parameter.detach().clone()

    @torch.no_grad()
    def take_averages(self) -> None:
        """Let every parameter be its running mean, where one is kept: the end of training."""
        for parameter, name in self.names.items():
            if name in self.averages:
                parameter.copy_(self.averages[name])

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for optimizer in self.all:
            optimizer.zero_grad(set_to_none=True)

    def state(self) -> Iterator[tuple[str, Tensor]]:
        """(parameter name + "/" + name of the state, tensor) of everything that the optimizers remember."""
        for optimizer in self.all:
            for parameter, entries in optimizer.state.items():
                for key, value in entries.items():
                    yield f"{self.names[parameter]}/{key}", value
        for name, average in self.averages.items():
            yield f"{name}/{_AVERAGE}", average

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` gave. Raises KeyError for a parameter that no optimizer has."""
        owners: dict[str, tuple[torch.optim.Optimizer, Tensor]] = {
            self.names[parameter]: (optimizer, parameter)
            for optimizer in self.all
            for group in optimizer.param_groups
            for parameter in group["params"]
        }
        for full, value in state.items():
            name, key = full.rsplit("/", 1)
            optimizer, parameter = owners[name]
            if key == _AVERAGE:
                self.averages[name] = value.to(parameter.device)
                continue
            entries: dict[str, Any] = optimizer.state[parameter]
            # AdamW keeps its count of steps where its kernel wants it: on the parameter's device when fused.
            entries[key] = value.to(parameter.device)


def _or(own: float | None, common: float) -> float:
    return common if own is None else own


def _embedding_rate(model: nn.Module) -> float:
    """Steps that suit the size at which the table's entries start: see OptimizerSettings.embedding_lr."""
    shape = getattr(model, "settings", None)
    if not isinstance(shape, ModelSettings) or shape.preset not in ("llama", "qwen3"):
        return 0.003
    return 0.003 if shape.tied or shape.parts.post_norm else 0.3


def _by_width(model: nn.Module, settings: OptimizerSettings) -> dict[str, float]:
    """Factors on the rates that were found at the model's reference width (muP, Yang et al. 2022, table 3).

    AdamW's update of a matrix changes what it puts out in proportion to its width. Muon's in units of the spectral norm
    changes it alike at every width (Yang et al. 2023, arXiv 2310.17813), in units of AdamW's by the root of it.
    """
    shape = getattr(model, "settings", None)
    narrowing = shape.narrowing if isinstance(shape, ModelSettings) else 1.0
    by_muon = 1.0 if settings.muon_scaling == "spectral" else narrowing**0.5
    return {"matrix": narrowing if settings.matrices == "adamw" else by_muon, "head": narrowing}


def gradient_norm(model: nn.Module) -> Tensor:
    """Euclidean norm of all gradients, a scalar; not finite when any of them is not."""
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    return torch.nn.utils.get_total_norm(gradients)


def scale_gradients(model: nn.Module, norm: Tensor, longest: float) -> None:
    """Scale all gradients by longest / norm where norm is greater."""
    torch.nn.utils.clip_grads_with_norm_(model.parameters(), longest, norm)
