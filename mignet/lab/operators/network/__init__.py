"""Stand-ins for multus, the plugins, nmstate and the network operator. Imports the view of the cluster."""
