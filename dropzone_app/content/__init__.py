"""What is inside a file: its structure, told from few of its bytes. No disk, no Flask, no sentences.

A structure check is one function of a :class:`View`. It runs as soon as a file's first bytes are there; where it asks
for others, it runs once more when the file is complete. Either way it reads a bounded number of bytes, inflates
nothing but a bounded beginning, and extracts nothing, whatever the file says about itself.
"""

from __future__ import annotations

from .view import CutOff, Findings, Harmful, Malformed, Mismatch, More, Opener, Pixels, Structure, View

__all__ = [
    "CutOff",
    "Findings",
    "Harmful",
    "Malformed",
    "Mismatch",
    "More",
    "Opener",
    "Pixels",
    "Structure",
    "View",
]
