"""Batch normalisation by the statistics of the whole batch, of which each process has a part."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from genlab import distributed


class SharedNorm(_BatchNorm):
    """Batch normalisation over all processes, for CPUs; torch's own works on GPUs alone."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Accept items of any number of dimensions."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise by the statistics of the batch in training, else by the running ones."""
        if not self.training or distributed.count() == 1:
            return super().forward(input)
        weight = input.new_ones(self.num_features) if self.weight is None else self.weight
        normalised, mean, variance = _Normalised.apply(input, weight, self.bias, self.eps)  # type: ignore[no-untyped-call]
        if self.track_running_stats:
            self._follow(mean, variance, input.numel() // input.shape[1] * distributed.count())
        return normalised  # type: ignore[no-any-return]

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics towards those of the batch, as torch does it."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * (count / max(count - 1, 1)), share)


class _Normalised(torch.autograd.Function):
    """(x - mean) / std * weight + bias with mean and std over all processes, through torch's own fast kernels."""

    @staticmethod
    def forward(
        ctx: Any, items: Tensor, weight: Tensor, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        # torch's own batch normalisation finds the statistics of our part several times as fast as `var_mean`.
        _, mean, inverse = torch.native_batch_norm(items, None, None, None, None, True, 0.0, eps)
        variance = inverse.pow(-2) - eps
        # Each part has as many rows, so the variance is the mean of their variances plus that of their means. A mean
        # of squares less a square of means would lose digits.
        variances, means = distributed.stacked(torch.stack([variance, mean])).unbind(1)
        mean = means.mean(0)
        variance = variances.mean(0) + (means - mean).square().mean(0)
        normalised = functional.batch_norm(items, mean, variance, weight, bias, eps=eps)
        ctx.save_for_backward(items, mean, variance, weight)
        ctx.eps, ctx.shifts = eps, bias is not None
        ctx.mark_non_differentiable(mean, variance)
        return normalised, mean, variance

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        items, mean, variance, weight = ctx.saved_tensors
        found, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, items, weight, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        along, level = distributed.add(torch.stack([of_weight, of_bias])) / _count(items)
        # weight / std * (gradient - its mean - normalised * its mean along the normalised). The first term is found;
        # the others are a line in x, which the kernel of batch normalisation computes in one pass.
        scale = torch.rsqrt(variance + ctx.eps)
        slope = -weight * scale.square() * along
        offset = -weight * scale * level - slope * mean
        nothing = torch.zeros_like(slope)
        found += functional.batch_norm(items, nothing, torch.ones_like(slope), slope, offset, eps=0.0)
        return found, of_weight, of_bias if ctx.shifts else None, None


def _count(items: Tensor) -> int:
    """Return the number of values of each channel over all processes."""
    return items.numel() // items.shape[1] * distributed.count()


def share_norms(module: nn.Module, device: torch.device) -> None:
    """Let every batch normalisation below a module see the whole batch; the names in checkpoints stay the same."""
    for name, part in module.named_children():
        if not isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            share_norms(part, device)
        elif device.type == "cuda":
            setattr(module, name, nn.SyncBatchNorm.convert_sync_batchnorm(part))  # type: ignore[no-untyped-call]
        else:
            part.__class__ = SharedNorm  # type: ignore[assignment]
