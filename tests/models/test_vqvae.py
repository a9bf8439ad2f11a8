"""The vector-quantised autoencoder: its codebook, its gradients, its phases, and its likelihood."""

import itertools
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical

from genlab.kinds import Classes, Image
from genlab.models.vqvae import VQVAE, Codebook, smoothed
from genlab.registry import ConfigError
from genlab.training.settings import PlayerSettings, TrainerSettings
from genlab.training.trainer import Trainer
from tests.fixtures import tiny
from tests.fixtures.program import assert_refused, assert_resumed_exactly, genlab
from tests.fixtures.toys import toy_images

SMALL = {"codes": 4, "code_dim": 3, "downsampling": 2, "width": 8, "blocks": 1, "prior_width": 16, "prior_layers": 1}
KIND = Image(1, 4, 4)
YES, NO = torch.tensor(True), torch.tensor(False)
FAST = ["model=vq-vae", "data=digits", "trainer=smoke", *(f"model.{name}={value}" for name, value in SMALL.items())]
STEADY = [f"model.optimizers.{player}.ema=0.9" for player in ("autoencoder", "prior")]
STEADY += [f"model.optimizers.{player}.schedule=constant" for player in ("autoencoder", "prior")]


def built(kind: Image = KIND, classes: int = 0, **settings: object) -> VQVAE:
    torch.manual_seed(3)
    told = {"label": Classes(tuple("abcdef"[:classes])), "condition": "label"} if classes else {}
    return VQVAE(x=kind, **{**SMALL, **told, **settings})  # type: ignore[arg-type]


def learned(model: VQVAE, moves: int = 20) -> VQVAE:
    """Move the codebook to the codes of a batch."""
    for _ in range(moves):
        model.code_loss(tiny.batch(KIND))
    return model


# The codebook.


def test_the_first_entries_are_codes_of_the_first_batch() -> None:
    codebook, codes = Codebook(4, 2, decay=0.9, restart=0.1), torch.randn(20, 2)
    codebook.learn(codes, codebook.nearest(codes), YES)
    matches = (codebook.entries.unsqueeze(1) - codes).abs().sum(2) < 1e-5
    assert matches.any(1).all(), "each entry is a code"
    assert matches.any(0).sum() > 1
    assert codebook.counts.tolist() == pytest.approx([1.0] * 4)


def test_an_entry_is_the_moving_average_of_the_codes_that_choose_it() -> None:
    codebook = Codebook(2, 1, decay=0.75, restart=0.01)
    for buffer, values in ((codebook.counts, [3.0, 1.0]), (codebook.sums, [[0.0], [10.0]])):
        buffer.copy_(torch.tensor(values))
    codebook.entries.copy_(torch.tensor([[0.0], [10.0]]))
    codes = torch.tensor([[1.0], [2.0], [9.0], [8.0], [4.0]])
    chosen = codebook.nearest(codes)
    assert chosen.tolist() == [0, 0, 1, 1, 0]
    codebook.learn(codes, chosen, YES)
    # By hand: 0.75 * 3 + 0.25 * 3 codes, and 0.75 * 1 + 0.25 * 2 codes; sums of 7 and 17.
    assert codebook.counts.tolist() == pytest.approx([3.0, 1.25])
    assert codebook.sums.flatten().tolist() == pytest.approx([1.75, 11.75])
    assert codebook.entries.flatten().tolist() == pytest.approx([1.75 / 3, 11.75 / 1.25], rel=1e-4)


def test_without_memory_the_entries_make_the_steps_of_k_means() -> None:
    codes = torch.cat([torch.randn(30, 2), torch.randn(30, 2) + 6])
    codebook = Codebook(2, 2, decay=0.0, restart=0.0)
    codebook.learn(codes, codebook.nearest(codes), YES)
    for _ in range(5):
        centres = codebook.entries.clone()
        nearest = torch.cdist(codes, centres).argmin(1)
        assert torch.equal(codebook.nearest(codes), nearest)
        codebook.learn(codes, nearest, YES)
        means = torch.stack([codes[nearest == number].mean(0) for number in range(2)])
        torch.testing.assert_close(codebook.entries, means, rtol=1e-4, atol=1e-4)


def test_an_entry_that_is_hardly_used_begins_again_at_a_code_and_the_others_stay() -> None:
    codebook = Codebook(3, 2, decay=0.5, restart=0.1)
    codebook.counts.copy_(torch.tensor([10.0, 0.5, 10.0]))
    codebook.entries.copy_(torch.tensor([[0.0, 0.0], [90.0, 90.0], [5.0, 5.0]]))
    codebook.sums.copy_(codebook.entries * codebook.counts.unsqueeze(1))
    codes = torch.tensor([[0.0, 0.0]] * 9 + [[5.0, 5.0]] * 9)
    codebook.learn(codes, codebook.nearest(codes), YES)
    restarted = codebook.entries[1]
    assert any(torch.allclose(restarted, code, atol=1e-3) for code in codes)
    torch.testing.assert_close(codebook.entries[[0, 2]], torch.tensor([[0.0, 0.0], [5.0, 5.0]]), atol=1e-3, rtol=0)
    assert float(codebook.counts[1]) == pytest.approx(0.2 * 6), "twice the share at which it would begin again"


def test_smoothed_counts_are_above_zero_and_keep_their_sum() -> None:
    counts = torch.tensor([0.0, 3.0, 0.0, 7.5])
    assert (smoothed(counts) > 0).all()
    assert float(smoothed(counts).sum()) == pytest.approx(10.5)


def test_a_step_whose_loss_is_not_finite_leaves_the_codebook_as_it_was() -> None:
    model = learned(built())
    before = {name: value.clone() for name, value in model.codebook.state_dict().items()}
    batch = tiny.batch(KIND)
    assert not model.code_loss({"x": torch.full_like(batch["x"], math.nan)}).loss.isfinite()
    assert all(torch.equal(value, before[name]) for name, value in model.codebook.state_dict().items())
    model.eval().code_loss(batch)
    model.validate(batch)
    assert all(torch.equal(value, before[name]) for name, value in model.codebook.state_dict().items())
    model.train().code_loss(batch)
    assert not torch.equal(model.codebook.entries, before["entries"])


def test_no_entry_stays_dead_in_training_and_low_precision_changes_no_code() -> None:
    model = built(codes=16)
    batch = {"x": torch.rand(32, 1, 4, 4)}
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(120):
        optimizer.zero_grad()
        model.code_loss(batch).loss.backward()
        optimizer.step()
    shown = model.eval().validate(batch).shown
    assert float(shown["unused"]) == 0
    expected = model.tokens(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(model.tokens(batch), expected)
        assert torch.equal(model.train().tokens(batch), expected)


def test_usage_is_the_perplexity_of_a_batch_and_the_share_of_entries_that_100_batches_left_unused() -> None:
    codebook, chosen = Codebook(4, 2, decay=0.9, restart=0.0), torch.tensor([0, 0, 0, 1, 1, 3])
    for number in range(100):
        assert float(codebook.usage(chosen)["unused"]) == 0, number
        codebook.learn(torch.randn(6, 2), chosen, YES)
    shown = codebook.usage(chosen)
    entropy = Categorical(torch.tensor([3 / 6, 2 / 6, 0, 1 / 6])).entropy()
    torch.testing.assert_close(shown["perplexity"], entropy.exp())
    assert float(shown["unused"]) == 0.25


# The gradients.


def test_the_gradient_of_the_decoder_arrives_at_the_codes_unchanged_beside_the_commitment() -> None:
    model, batch = learned(built(commitment=0.5)).eval(), tiny.batch(KIND)
    seen: dict[str, Tensor] = {}

    def keep(name: str, values: Tensor) -> None:
        if values.requires_grad:
            values.retain_grad()
            seen[name] = values

    model.encoder.register_forward_hook(lambda module, given, output: keep("codes", output))
    model.decoder.register_forward_pre_hook(lambda module, given: keep("entries", given[0]))
    model.code_loss(batch).loss.backward()
    codes, entries = seen["codes"], seen["entries"]
    assert codes.grad is not None
    assert entries.grad is not None
    assert torch.equal(entries.permute(0, 2, 3, 1).flatten(1), model.encode(batch)), "the decoder sees the entries"
    commitment = 0.5 * 2 * (codes - entries) / len(batch["x"])
    torch.testing.assert_close(codes.grad, entries.grad + commitment.detach())


# The phases.


def trained(folder: Path, steps: int, **settings: object) -> tuple[Trainer, VQVAE]:
    model = built(**settings)  # type: ignore[arg-type]
    players = {name: PlayerSettings() for name in model.players()}
    trainer = Trainer(model, toy_images(side=4), TrainerSettings(batch_size=4, steps=steps), players)
    trainer.fit(folder)
    return trainer, model


@pytest.mark.parametrize(
    ("code_steps", "total", "first"), [(None, 10, 5), (None, 7, 3), (4, 10, 4), (0, 10, 0), (4, 0, 4)]
)
def test_the_autoencoder_moves_first_and_then_the_prior(code_steps: int | None, total: int, first: int) -> None:
    model = built(code_steps=code_steps)
    model.total = total
    movers = [[turn.player for turn in model.turns(step)] for step in range(10)]
    assert movers == [["autoencoder"]] * first + [["prior"]] * (10 - first)


def test_both_players_move_until_a_trainer_has_set_the_number_of_steps() -> None:
    assert [turn.player for turn in built().turns(0)] == ["autoencoder", "prior"]


def test_each_phase_leaves_the_weights_of_the_other_and_the_second_leaves_the_codebook(tmp_path: Path) -> None:
    _, first = trained(tmp_path / "first", 3, code_steps=3)
    trainer, both = trained(tmp_path / "both", 6, code_steps=3)
    start, ends = built().state_dict(), [model.state_dict() for model in (first, both)]
    # Every entry may have been used in the last step.
    start.pop("codebook.idle")
    for name, value in start.items():
        is_prior = name.startswith("prior.")
        assert torch.equal(ends[0][name], value) == is_prior, name
        assert torch.equal(ends[1][name], ends[0][name]) != is_prior, name
    assert {name: player.began for name, player in trainer.players.players.items()} == {"autoencoder": 0, "prior": 3}


def test_a_run_that_is_resumed_across_the_phases_ends_exactly_alike(tmp_path: Path) -> None:
    # The schedule is constant, because a longer training would stretch another one.
    seldom = [f"trainer.{what}_every=5" for what in ("validate", "checkpoint")]
    assert_resumed_exactly(tmp_path, *FAST, "model.code_steps=3", *STEADY, *seldom)


def test_a_player_that_a_run_does_not_train_is_named(tmp_path: Path) -> None:
    sentence = "The prior is not trained in the 2 steps of this run. Its training begins after step 9."
    done = genlab(tmp_path, "train", *FAST, "model.code_steps=9", "run=one")
    assert done.stdout.count(sentence) == 1
    assert "is not trained" not in genlab(tmp_path, "train", *FAST, "run=two").stdout


# The likelihood and the prior.


def test_the_cost_of_the_codes_is_that_of_the_prior_and_the_bound_holds() -> None:
    model, batch = learned(built()).eval(), tiny.batch(KIND)
    grids = torch.tensor(list(itertools.product(range(4), repeat=4)))
    with torch.no_grad():
        reconstruction, kl = model.nats(batch)
        torch.testing.assert_close(kl, model.prior.nats(model.tokens(batch)))
        torch.testing.assert_close(model.score(batch), -(reconstruction + kl))
        # By brute force: p(x) is the sum over all grids of codes.
        decoded = model._decoded(model.codebook(grids.view(-1, 2, 2)))
        prior = -model.prior.nats(grids)
        evidence = torch.stack(
            [(prior - model.likelihood(decoded, item.expand_as(decoded))).logsumexp(0) for item in batch["x"]]
        )
        assert float(prior.exp().sum()) == pytest.approx(1, abs=1e-4)
        assert (reconstruction + kl >= -evidence - 1e-4).all()
        shown = model.validate(batch)
    torch.testing.assert_close(shown.loss, (reconstruction + kl).mean())


def test_the_class_is_inferred_by_the_prior_and_never_read() -> None:
    model = learned(built(classes=3)).eval()
    batch = tiny.batch(KIND)
    unknown = {"x": batch["x"]}
    with torch.no_grad():
        assert model.prior.condition is not None
        model.prior.condition.weight.mul_(30)
        tokens = model.tokens(unknown)
        each = torch.stack([model.nats({**unknown, "label": torch.full((8,), number)})[1] for number in range(3)], 1)
        torch.testing.assert_close(model.classify(unknown), (-each).log_softmax(1))
        assert torch.equal(model.infer(unknown)["label"], each.argmin(1))
        torch.testing.assert_close(model.nats(unknown)[1], math.log(3) - (-each).logsumexp(1))
        told = model.prior.nats(tokens, torch.eye(3)[batch["label"] % 3])
        torch.testing.assert_close(model.nats({**unknown, "label": batch["label"] % 3})[1], told)
        assert torch.equal(model.reconstruct(unknown), model.reconstruct(batch))


def test_samples_of_a_class_are_those_of_its_prior() -> None:
    model = learned(built(classes=2)).eval()
    assert model.prior.condition is not None
    with torch.no_grad():
        model.prior.condition.weight.mul_(100)
        draws = [torch.Generator().manual_seed(1) for _ in range(3)]
        ones = model.sample(6, {"label": torch.ones(6, dtype=torch.long)}, draws[0])
        zeros = model.sample(6, {"label": torch.zeros(6, dtype=torch.long)}, draws[1])
        drawn = model.sample(6, generator=draws[2])
    like = [(drawn - of_class).flatten(1).abs().amax(1) < 1e-5 for of_class in (zeros, ones)]
    assert (like[0] | like[1]).all()
    assert not torch.allclose(ones, zeros)


def test_an_items_code_does_not_depend_on_its_batch() -> None:
    model, batch = learned(built()), tiny.batch(KIND)
    assert torch.equal(model.tokens(batch)[:1], model.tokens({"x": batch["x"][:1]}))


# Mistakes.


def test_settings_without_sense_are_refused_with_what_to_do() -> None:
    for settings, sentence in (
        ({"codes": 1}, "codes must be at least 2, got 1"),
        ({"downsampling": 3}, "downsampling must be a power of two"),
        ({"downsampling": 1}, "downsampling must be at least 2, got 1"),
        ({"decay": 1.0}, "decay must be below 1, got 1.0"),
        ({"restart": 1.0}, "restart must be below 1, got 1.0"),
        ({"code_steps": -1}, "code_steps must be at least 0, got -1"),
        ({"std": 0.1}, "A bernoulli likelihood has no std"),
    ):
        with pytest.raises((ConfigError, ValueError), match=sentence):
            built(**settings)
    with pytest.raises(ConfigError, match="images have 30x28 pixels; use images of 28x28 or 32x28 pixels"):
        built(replace(KIND, height=30, width=28), downsampling=4)


def test_points_and_data_without_labels_are_refused(tmp_path: Path) -> None:
    assert_refused(genlab(tmp_path, "train", *FAST[:1], "data=gaussian", "run=one"), "takes images")
    conditional = ["model=vq-vae", "data=photos-mini", "model.condition=label", "run=two"]
    assert_refused(genlab(tmp_path, "train", *conditional), "needs labels, and data 'photos-mini' has none")
    assert_refused(genlab(tmp_path, "train", *FAST, "model.downsampling=16", "run=two"), "use images of 16x16 pixels")
