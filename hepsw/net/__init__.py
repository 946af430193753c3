"""Sockets that HEP arrives on: what comes out is packets, with who sent them."""
