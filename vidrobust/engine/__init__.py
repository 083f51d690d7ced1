"""The engine: sessions, the scheduler that batches them, and the journal that makes them
survive a crash.
"""

from vidrobust.engine.journal import Journal
from vidrobust.engine.outcome import Outcome, Subject
from vidrobust.engine.scheduler import drive, solve
from vidrobust.engine.session import Session

__all__ = ["Journal", "Outcome", "Session", "Subject", "drive", "solve"]
