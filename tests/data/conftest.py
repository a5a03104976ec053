"""Fixtures: the folder of real corpora, and a cache folder for one test."""

import os
from pathlib import Path

import pytest


@pytest.fixture
def real_text() -> Path:
    folder = os.environ.get("RNNLM_JAX_DATA")
    if not folder:
        pytest.skip("needs real text: set RNNLM_JAX_DATA to its folder")
    return Path(folder)


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("RNNLM_JAX_CACHE", str(folder))
    return folder
