"""Claims are judged by this plugin. Whoever installs it needs no conftest.py."""

pytest_plugins = ["mechanistic_claims.plugin"]
