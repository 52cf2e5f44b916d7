"""What the README declares can be declared."""

from __future__ import annotations

import json
import re

import pytest

import infraweave
from infraweave.core.workflow.document_codec import document_from_json
from tests.conftest import EXAMPLES
from tests.core.faults import faults

README = (EXAMPLES.parent / "README.md").read_text()
BLOCKS = [block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "Workflow(" in block]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: re.search(r'Workflow\("([^"]+)"', block)[1])
def test_its_workflows_compile(block):
    names = {name: getattr(infraweave, name) for name in infraweave.__all__}
    exec(block, names)
    assert names["flow"].compile().nodes


def test_its_document_can_be_published():
    (text,) = re.findall(r"```json\n(.*?)```", README, re.DOTALL)
    assert faults(document_from_json(json.loads(text))) == []


def test_it_names_every_example():
    missing = [file.name for file in EXAMPLES.iterdir() if file.is_file() and file.name not in README]
    assert missing == []
