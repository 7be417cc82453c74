"""What front ends and cells do. Each is played against plain ipykernel and against ours; see `stage`."""

from . import cells, comms, debugger, ends, interrupts, prompts, requests, wire

__all__ = ["cells", "comms", "debugger", "ends", "interrupts", "prompts", "requests", "wire"]
