"""How positions become features: nerfstudio's hash grid and contraction, said so that CPUs and GPUs are fast at them."""
