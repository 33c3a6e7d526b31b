"""What the API, the command line and the terminal interface show: the structs, and the functions that read them.

Nothing here changes anything. Every function may be called from any thread and raises `StoreError` when the database
cannot be read.
"""
