"""Programs that are sent into containers, and how they are sent.

The programs import only each other and the standard library: the container has nothing else of the appliance.
"""
