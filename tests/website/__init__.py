"""Tests of ``website``, the documentation site; the site itself is built by ``make docs``."""
