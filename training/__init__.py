"""Networks, losses, mask fusion and the modules that train them: this room knows tensors and nothing of the graph."""
