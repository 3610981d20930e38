"""Stand-ins for the operators of KubeVirt and for its controllers. Imports the view of the cluster."""
