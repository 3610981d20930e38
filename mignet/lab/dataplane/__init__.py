"""A data plane for the lab's nodes: each has a network namespace, and a NIC on one fabric that all clusters share.

Real: the kernel's network stack, the CNI plugins macvlan and bridge, ARP, TCP, and what a frame's size does. Stand-ins:

- the fabric is a plain bridge, not a switch;
- a VLAN is a bridge of its own, not a tag: kernels without 802.1Q have this data plane, too;
- a bond is one NIC;
- addresses come from the lab's model of whereabouts, handed to the plugins through `static`;
- the kubelet and multus, which start the pods of a checkup only, without an image.

Every namespace is anonymous: the kernel takes it and all that is in it away when the last process that holds it ends,
however it ends.
"""
