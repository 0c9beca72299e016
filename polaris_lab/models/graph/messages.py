"""Messages between the nodes of a graph, with torch alone: gather along the edges, add up at their ends."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MessagePassing(nn.Module):
    """One round: each node takes the mean of what its neighbours say, and adds what it makes of it.

    m_i = mean over edges j -> i of f(h_j, h_i, e_ij);  h_i <- h_i + g(h_i, m_i). A node without neighbours hears 0. The
    order of nodes and edges does not matter.

    Parameters
    ----------
    channels : int
        Of a node.
    edge_channels : int
        Of an edge.
    """

    def __init__(self, channels: int, edge_channels: int) -> None:
        super().__init__()
        self.message = nn.Sequential(
            nn.Linear(2 * channels + edge_channels, channels), nn.SiLU(), nn.Linear(channels, channels)
        )
        self.update = nn.Sequential(
            nn.Linear(2 * channels, channels), nn.SiLU(), nn.Linear(channels, channels)
        )

    def forward(self, nodes: Tensor, edges: Tensor, edge_features: Tensor) -> Tensor:
        """Return the nodes after the round.

        Parameters
        ----------
        nodes : Tensor, shape (K, channels)
        edges : Tensor of int64, shape (2, E)
            From and to.
        edge_features : Tensor, shape (E, edge_channels)
        """
        start, end = edges
        said = self.message(torch.cat([nodes[start], nodes[end], edge_features], dim=1))  # (E, channels)
        heard = torch.zeros_like(nodes).index_add(0, end, said)  # (K, channels)
        degree = torch.zeros_like(nodes[:, 0]).index_add(0, end, torch.ones_like(said[:, 0]))  # (K,)
        heard = heard / degree.clamp(min=1)[:, None]  # (K, channels)
        return nodes + self.update(torch.cat([nodes, heard], dim=1))  # (K, channels)
