"""How well photographs are enlarged, and how fast: python -m benchmarks.enlarging [NAME...].

The names are srresnet, srgan and upscale; all of them unless told. It trains on eleven photographs of 2560x1600 among
the pictures of Debian's package plasma-workspace-wallpapers, which it fetches (nothing is installed), and measures on
two that were never trained on, scikit-learn's: `experiment=srresnet-fast`, then from its weights `srgan-fast`, and puts
a part of each beside the filter's work and the real photograph. Then a picture of 1,000x750 is enlarged four times by
the full network, as `genlab upscale` does it and by the bare network at once, each in a process of its own.
Each run is in outputs/benchmarks/, where a second start goes on with it.
"""
