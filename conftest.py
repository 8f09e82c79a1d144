"""Claims are judged by a pytest plugin, which is found where it is installed: this only names it.

Not as `pytest_plugins`, which pytest refuses in a clone below another repository's root.
"""

import mechanistic_claims.plugin  # noqa: F401
