"""How fast is InfraWeave, beside yardsticks that do the least that could be done?

    python -m tests.bench                  # every row, in less than five minutes
    python -m tests.bench --rows http      # some rows, by their names or the names of their groups
    python -m tests.bench compare A B      # two commits, measured in alternation
    python -m tests.bench table            # the table of docs/performance.md, from the kept figures

Every side of a comparison runs in a process of its own, one at a time. The sides take turns in short rounds,
so that a ratio means something on a shared machine. Nothing here judges a figure.
"""
