"""What the API, the command line and the terminal interface show: one struct for each thing, and how it is read.

Nothing here changes anything. Every function may be called from any thread and raises `StoreError` when the database
cannot be read.
"""
