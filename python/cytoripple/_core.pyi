"""Native kernels. The public, documented entrance is `cytoripple.kernels`."""

__version__: str
DEBUG_BUILD: bool

class CoreError(Exception): ...
