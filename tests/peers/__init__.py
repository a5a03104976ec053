"""Tests against peer libraries; without them, they are skipped."""
