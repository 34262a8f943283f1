"""The flow inverts, its log-determinant is autograd's and zuko's, and both projections start as something simple.

Tolerances: double precision through exponentials; `Standardize` is in float32.
"""

import pytest
import torch
import zuko
from torch.distributions import TransformedDistribution

from vclip.association.base import Standardize
from vclip.association.model import FaceProjection, RealNVP

SHAPES = [(2, 1), (5, 3), (8, 4), (16, 7)]  # dimension, couplings


def _flow(dim, couplings, scale=0.4):
    """Returns a flow whose weights are all random: fresh, the last layers are zero and any flow is the identity."""
    torch.manual_seed(dim)
    flow = RealNVP(dim, couplings, 12, dropout=0.5).double().eval()
    for parameter in flow.parameters():
        torch.nn.init.normal_(parameter, std=scale)
    return flow


@pytest.mark.parametrize(("dim", "couplings"), SHAPES)
def test_the_flow_inverts(dim, couplings):
    flow, x = _flow(dim, couplings), torch.randn(50, dim).double() * 3
    y = flow(x)
    assert (y - x).abs().max() > 0.1
    torch.testing.assert_close(flow.inverse(y), x, atol=1e-8, rtol=0)
    torch.testing.assert_close(flow(flow.inverse(x)), x, atol=1e-8, rtol=0)


@pytest.mark.parametrize(("dim", "couplings"), SHAPES)
def test_log_det_is_that_of_the_jacobian(dim, couplings):
    flow, x = _flow(dim, couplings), torch.randn(10, dim).double()
    y, log_det = flow.with_log_det(x)
    torch.testing.assert_close(y, flow(x))
    expected = [torch.linalg.slogdet(torch.autograd.functional.jacobian(flow, row))[1] for row in x]
    torch.testing.assert_close(log_det, torch.stack(expected), atol=1e-9, rtol=1e-9)
    assert log_det.abs().max() > 1e-2


@pytest.mark.parametrize(("dim", "couplings"), SHAPES)
def test_equals_zuko_with_the_same_networks(dim, couplings):
    """zuko's coupling around our networks: map, inverse, log-determinant and the density of a whole flow."""
    flow, x = _flow(dim, couplings), torch.randn(20, dim).double()

    def coupling(ours, kept):
        def univariate(x_kept):
            log_scale, shift = ours.net(x_kept).chunk(2, dim=-1)
            affine = torch.distributions.AffineTransform(shift, torch.tanh(log_scale).exp())
            return zuko.transforms.DependentTransform(affine, 1)

        return zuko.transforms.CouplingTransform(univariate, kept)

    even = torch.arange(dim) % 2 == 0
    masks = [~even if i % 2 else even for i in range(couplings)]
    reference = zuko.transforms.ComposedTransform(*map(coupling, flow.couplings, masks))
    y, log_det = flow.with_log_det(x)
    expected_y, expected_log_det = reference.call_and_ladj(x)
    torch.testing.assert_close(y, expected_y)
    torch.testing.assert_close(log_det, expected_log_det)
    torch.testing.assert_close(flow.inverse(y), reference.inv(expected_y))
    base = zuko.distributions.DiagNormal(torch.zeros(dim).double(), torch.ones(dim).double())
    density = TransformedDistribution(base, [reference.inv]).log_prob(x)
    torch.testing.assert_close(base.log_prob(y) + log_det, density)


def test_every_entry_is_changed_and_only_half_by_one_coupling():
    one, two = _flow(6, 1), _flow(6, 2)
    x = torch.randn(30, 6).double()
    changed = (one(x) != x).any(0)
    assert changed.tolist() == [False, True] * 3
    assert (two(x) != x).any(0).all()


def test_a_scale_stays_within_e():
    flow = _flow(4, 1, scale=50.0)
    assert flow.with_log_det(torch.randn(100, 4).double())[1].abs().max() <= 2 + 1e-9  # two entries, at most 1 each


@pytest.mark.parametrize("couplings", [0, 1, 4])
def test_a_fresh_flow_is_the_identity_and_learns(couplings):
    torch.manual_seed(0)
    flow, x = RealNVP(7, couplings, 12, dropout=0.5), torch.randn(20, 7)
    y, log_det = flow.with_log_det(x)
    torch.testing.assert_close(y, x)
    torch.testing.assert_close(log_det, torch.zeros(20))
    if couplings:
        y.square().sum().backward()
        assert any(p.grad is not None and p.grad.abs().max() > 0 for p in flow.parameters())


def test_a_fresh_face_projection_is_its_linear_path_and_learns():
    torch.manual_seed(0)
    projection, x = FaceProjection(9, 5, 11, dropout=0.0), torch.randn(20, 9)
    torch.testing.assert_close(projection(x), x @ projection.linear.weight.T + projection.linear.bias)
    torch.nn.init.normal_(projection.mlp[-1].weight)
    hidden = torch.relu(projection.mlp[0](projection.linear(x)))
    assert (projection(x) - projection.linear(x)).abs().max() > 0.1
    torch.testing.assert_close(projection(x), projection.linear(x) + hidden @ projection.mlp[-1].weight.T)


def test_standardize_centres_and_keeps_the_directions_of_deviations():
    x = torch.randn(500, 6) * torch.tensor([1.0, 2, 3, 4, 5, 6]) + 10
    standardize = Standardize(6)
    standardize.fit(x)
    y = standardize(x)
    torch.testing.assert_close(y.mean(0), torch.zeros(6), atol=1e-4, rtol=0)
    assert y.square().mean().item() == pytest.approx(1, abs=1e-4)
    torch.testing.assert_close(y * standardize.scale, x - x.mean(0), atol=1e-4, rtol=1e-4)
    standardize.fit(torch.full((4, 6), 3.0))  # one vector only: nothing to divide by
    assert torch.isfinite(standardize(torch.full((4, 6), 3.0))).all()
