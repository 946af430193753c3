"""The switch without sockets: tests of a configuration, and the explanation of one packet.

What judges here is the engine itself, with the tables that the daemon compiles. Only the packets
are made up.
"""
