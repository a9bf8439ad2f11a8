"""The lab bench for the classic generative models."""

__version__ = "0.1.0"
