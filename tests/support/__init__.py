"""What tests of several folders share: made-up stores and people, drivers to be killed, servers on loopback."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
