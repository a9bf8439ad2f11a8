"""Dropout of numbers and of whole feature maps, the same for one process and for several."""

import pytest
import torch

from genlab import distributed
from genlab.kinds import Image
from genlab.networks.dcgan import Dcgan
from genlab.networks.dropout import Dropout


def test_dropout_keeps_the_mean_and_removes_whole_feature_maps() -> None:
    torch.manual_seed(0)
    found = Dropout(0.25, whole_maps=True)(torch.ones(200, 50, 2, 2))
    assert torch.equal(found, found[:, :, :1, :1].expand_as(found))
    assert found.unique().tolist() == pytest.approx([0, 4 / 3])
    assert float((found == 0).float().mean()) == pytest.approx(0.25, abs=0.02)


def test_dropout_of_numbers_keeps_the_mean() -> None:
    torch.manual_seed(0)
    dropped = Dropout(0.5, whole_maps=False)(torch.ones(50, 8, 4, 4))
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert float(dropped.mean()) == pytest.approx(1, abs=0.05)
    assert 0 < float((dropped[:, :, 0] == 0).float().mean()) < 1


def test_nothing_is_dropped_in_evaluation() -> None:
    images = torch.randn(3, 4, 2, 2)
    assert torch.equal(Dropout(0.9, whole_maps=True).eval()(images), images)


def test_each_process_drops_its_rows_of_the_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.ones(6, 5, 2, 2)
    torch.manual_seed(1)
    whole = Dropout(0.5, whole_maps=True)(images)
    monkeypatch.setattr(distributed, "count", lambda: 3)
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    torch.manual_seed(1)
    with distributed.sharing():
        assert torch.equal(Dropout(0.5, whole_maps=True)(images[2:4]), whole[2:4])


def test_the_dropout_of_dcgan_is_that_of_the_encoder_alone() -> None:
    kind = Image(1, 16, 16)
    network = Dcgan(width=8, most=16, dropout=0.25)
    assert sum(isinstance(part, Dropout) for part in network.encoder(kind, 1)) == 2
    assert not any(isinstance(part, Dropout) for part in network.decoder(3, kind))
    plain = Dcgan(width=8, most=16).encoder(kind, 1)
    assert not any(isinstance(part, Dropout) for part in plain)


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_a_share_that_is_no_share_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="dropout must be"):
        Dropout(share, whole_maps=True)
