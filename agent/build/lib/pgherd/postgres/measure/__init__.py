"""PostgreSQL's own statistics for `/metrics`: the queries as data (`queries`), and who asks them (`gather`).

Nothing here runs unless somebody scrapes, and nothing decides on what it finds.
"""
