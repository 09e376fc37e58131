"""Precis as it is, but quick to give up: leases and all that waits for a database are over in seconds."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import app
import storage
from analyzer import Analyzer
from analyzer.token_log import TokenLog
from storage import postgresql

LEASE_SECONDS = 4.0

TokenLog.LEASE_SECONDS = Analyzer.LEASE_SECONDS = LEASE_SECONDS
TokenLog.RENEW_SECONDS = Analyzer.LOOK_SECONDS = 1.0
storage.PATIENCE_SECONDS = 1.5
postgresql.Connection.answer_seconds = postgresql.ANSWER_SECONDS = 2.0
postgresql.OPTIONS["options"] = "-c lock_timeout=1s -c idle_in_transaction_session_timeout=2s -c timezone=UTC"

if __name__ == "__main__":
    app.main()
