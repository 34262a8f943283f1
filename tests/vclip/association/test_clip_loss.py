"""The loss equals open_clip's, and falls when the right pairs come closer."""

import pytest
import torch
import torch.nn.functional as F
from open_clip.loss import ClipLoss

from vclip.association.losses import clip_loss


@pytest.mark.parametrize("batch", [1, 2, 17, 128])
@pytest.mark.parametrize("scale", [1.0, 4.0, 100.0])
def test_equals_open_clip_with_its_gradients(batch, scale):
    torch.manual_seed(batch)
    raw = [torch.randn(batch, 32, requires_grad=True) for _ in range(2)]
    log_scale = torch.tensor(scale).log().requires_grad_()
    ours = clip_loss(*(F.normalize(x, dim=-1) for x in raw), log_scale)
    theirs = ClipLoss()(*(F.normalize(x, dim=-1) for x in raw), log_scale.exp())
    torch.testing.assert_close(ours, theirs)
    inputs = [*raw, log_scale]
    for a, b in zip(torch.autograd.grad(ours, inputs), torch.autograd.grad(theirs, inputs), strict=True):
        torch.testing.assert_close(a, b)


def test_label_smoothing_mixes_in_the_mean_of_all_pairs():
    torch.manual_seed(0)
    faces, voices = (F.normalize(torch.randn(9, 8), dim=-1) for _ in range(2))
    log_scale = torch.tensor(2.0)
    logits = log_scale.exp() * faces @ voices.T
    uniform = -(logits.log_softmax(0).mean() + logits.log_softmax(1).mean()) / 2
    expected = 0.8 * clip_loss(faces, voices, log_scale) + 0.2 * uniform
    torch.testing.assert_close(clip_loss(faces, voices, log_scale, label_smoothing=0.2), expected)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_doubtful_negatives_are_as_if_they_were_not_there(label_smoothing):
    """Rows 0 and 1 may be one person: each row's loss is that of the batch without the other one."""
    torch.manual_seed(0)
    faces, voices = (F.normalize(torch.randn(6, 8), dim=-1) for _ in range(2))
    log_scale, doubtful = torch.tensor(1.5), torch.zeros(6, 6, dtype=torch.bool)
    plain = clip_loss(faces, voices, log_scale, label_smoothing)
    torch.testing.assert_close(clip_loss(faces, voices, log_scale, label_smoothing, doubtful), plain)
    doubtful[0, 1] = doubtful[1, 0] = True
    logits, losses = log_scale.exp() * faces @ voices.T, []
    for side in (logits, logits.T):
        for row in range(6):
            left = [column for column in range(6) if not doubtful[row, column]]
            target = torch.tensor(left.index(row))
            losses.append(F.cross_entropy(side[row, left], target, label_smoothing=label_smoothing))
    found = clip_loss(faces, voices, log_scale, label_smoothing, doubtful)
    torch.testing.assert_close(found, torch.stack(losses).mean())
    assert not torch.isclose(found, plain)


def test_the_order_of_the_batch_and_of_the_sides_does_not_matter_but_the_pairing_does():
    torch.manual_seed(0)
    voices = F.normalize(torch.randn(20, 8), dim=-1)
    faces = F.normalize(voices + 0.3 * torch.randn(20, 8), dim=-1)
    order, log_scale = torch.randperm(20), torch.tensor(1.5)
    loss = clip_loss(faces, voices, log_scale)
    torch.testing.assert_close(clip_loss(faces[order], voices[order], log_scale), loss)
    torch.testing.assert_close(clip_loss(voices, faces, log_scale), loss)
    assert clip_loss(faces, voices.roll(1, 0), log_scale) > loss + 1
