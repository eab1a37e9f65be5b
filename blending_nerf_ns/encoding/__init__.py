"""How positions become features: nerfstudio's hash grid and contraction, said so that CPUs are fast at them."""
