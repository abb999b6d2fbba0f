"""A whole network on one machine: made by the operators' commands, run as processes, shown as a story."""
