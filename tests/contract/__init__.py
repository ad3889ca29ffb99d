"""
What every platform owes to waits, submissions and kills: one suite of cases, played on each world.

A case is a test, and its name is the case's name. It speaks to the platform only through ``Backend``
and to the world only through a :class:`~tests.contract.rig.Rig`. What a world does not know is
skipped by that name. ``cases.py`` lists all cases; one that is not here yet is named there.
"""
