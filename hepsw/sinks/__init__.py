"""Carrying effects out: destinations relay packets, stores keep them.

Each sink has its own bounded queue and its own task, and is called with batches. A dead one slows
neither the listeners nor its neighbours.
"""
