import torch

from ratereg.training import Streams


def test_draws_depend_on_seed_and_step_alone() -> None:
    many, one = Streams([4, 9, 4], 50, 8, 3), Streams([9], 50, 8, 3)
    assert many.member_stream.tolist() == [0, 1, 0]
    for step in (17, 3, 17):
        assert torch.equal(many.batch(step)[1], one.batch(step)[0])
        assert torch.equal(many.noise(step)[1], one.noise(step)[0])
    assert not torch.equal(one.noise(1), one.noise(2))


def test_every_image_is_seen_equally_often_whatever_the_batch_size() -> None:
    streams = Streams([0], n_train=10, batch_size=4, latent_dim=1)
    seen = torch.cat([streams.batch(step)[0] for step in range(15)])
    assert torch.bincount(seen, minlength=10).tolist() == [6] * 10
    passes = seen.view(6, 10)
    assert (passes.sort(1).values == torch.arange(10)).all()
    assert not torch.equal(passes[0], passes[1])


def test_a_batch_may_be_larger_than_the_training_set() -> None:
    assert torch.bincount(Streams([0], 3, 7, 1).batch(2)[0], minlength=3).min() >= 2


def test_noise_is_standard_normal() -> None:
    noise = torch.stack([Streams([1], 10, 256, 8).noise(step) for step in range(20)])
    assert abs(noise.mean()) < 0.02
    assert abs(noise.std() - 1) < 0.02
