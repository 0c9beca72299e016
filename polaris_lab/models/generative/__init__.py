"""Networks that answer with samples of a distribution: flow matching, diffusion, bridges, invertible networks.

Importing it registers their blocks. None of them loads `diffusers` before it is used.
"""

from polaris_lab.models.generative import bridge, diffusion, flow_matching, invertible, log_range  # noqa: F401
from polaris_lab.models.generative.protocol import Generative

__all__ = ["Generative"]
