"""Makes the records refuse assignments at run time, too: ``pytest -p tests.frozen_records``.

Imported before the product, it replaces the decorator of the records by that of attrs.
"""

from __future__ import annotations

import sys

import attrs

from infraweave.core import lazy_records, records

if "infraweave.core.run.address" in sys.modules or "infraweave.core.workflow.document" in sys.modules:
    raise ImportError("tests.frozen_records comes too late: the product has made its records already")
records.frozen = lazy_records.frozen = attrs.frozen
