"""The anonymous network: packets, mixes, links, gateways, the directory."""
