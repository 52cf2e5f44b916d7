"""``python -m infraweave``."""

from infraweave.cli.main import main

if __name__ == "__main__":
    main()
