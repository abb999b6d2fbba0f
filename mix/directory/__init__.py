"""
The directory: one signed document that says who the nodes are and how to reach them.

    document.py     what it holds: nodes, keys, cascades, services, parameters
    descriptor.py   what each operator hands in: one node or service, signed by its own identity
    verify.py       signing, and the numbered checks that every reader makes
    network.py      the network file: which directory, and whose signatures count

Here it is a static file. Agreement between authorities and the rotation of keys come on top of it.
"""

from mix.directory.descriptor import read_descriptor, sign_descriptor
from mix.directory.document import Directory, Node, Service, SphinxKey
from mix.directory.network import Authorities, NetworkFile, load_authorities, load_network, write_network
from mix.directory.verify import SignedDirectory, directory_hash, sign_directory, verify

__all__ = [
    "Authorities",
    "Directory",
    "NetworkFile",
    "Node",
    "Service",
    "SignedDirectory",
    "SphinxKey",
    "directory_hash",
    "load_authorities",
    "load_network",
    "read_descriptor",
    "sign_descriptor",
    "sign_directory",
    "verify",
    "write_network",
]
