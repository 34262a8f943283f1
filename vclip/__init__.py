"""Vclip: which voices suit which faces. The model library; it knows neither Ray nor LanceDB."""

__version__ = "0.1.0"
