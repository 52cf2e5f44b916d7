"""The state machine of a run: facts go in, events come out.

A *fact* is what the engine reports: a run was accepted, an attempt succeeded, a timer is due. A *turn*
applies one fact and records the events that follow from it. The *state* is the fold over the events. An
*entry* is one execution of a node: one event opens it, and exactly one closes it. The open entries are the
agenda: the engine performs them, and after a restart it goes on with whatever is open.
"""
