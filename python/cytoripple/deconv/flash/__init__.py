"""The published method FlashDeconv, equal stage by stage, on streamed counts."""

from cytoripple.deconv.flash.fit import FlashFit, flash_deconvolve

__all__ = ["FlashFit", "flash_deconvolve"]
