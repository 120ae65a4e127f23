"""Train a small ensemble in a notebook and watch its rate-distortion curve meanwhile. Values in nats."""

from ratereg.live.panel import Watch, replay, watch

__all__ = ["Watch", "replay", "watch"]
