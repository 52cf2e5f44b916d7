"""What the README declares can be declared."""

from __future__ import annotations

import re

import pytest

import infraweave
from tests.conftest import EXAMPLES

README = (EXAMPLES.parent / "README.md").read_text()
BLOCKS = [block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "Workflow(" in block]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: re.search(r'Workflow\("([^"]+)"', block)[1])
def test_its_workflows_compile(block):
    names = {name: getattr(infraweave, name) for name in infraweave.__all__}
    exec(block, names)
    assert names["flow"].compile().nodes


def test_it_names_every_example():
    missing = [file.name for file in EXAMPLES.iterdir() if file.is_file() and file.name not in README]
    assert missing == []
