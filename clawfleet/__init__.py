"""OpenClaw gateways that answer from local Ollama models, on any number of Macs."""

__version__ = "0.1.0"
