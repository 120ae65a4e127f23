"""Train a small ensemble in a notebook and watch its rate-distortion curve meanwhile. Values in nats."""

from ratereg.live.panel import Watch, watch
from ratereg.live.run import Run, look_steps

__all__ = ["Run", "Watch", "look_steps", "watch"]
