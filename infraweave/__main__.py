"""``python -m infraweave``."""

from infraweave.cli.main import main

main()
