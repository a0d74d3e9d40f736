"""The engine at real size on a CUDA device, with random weights: nothing is downloaded."""
