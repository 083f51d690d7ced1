"""The engine: sessions, the scheduler that batches them, and the journal that makes them
survive a crash.
"""

from vidrobust.engine.journal import Journal
from vidrobust.engine.scheduler import drive, solve
from vidrobust.engine.session import Outcome, Session, Subject

__all__ = ["Journal", "Outcome", "Session", "Subject", "drive", "solve"]
