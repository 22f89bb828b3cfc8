"""The operator: resources of a cluster in, two ConfigMaps and the truth about every resource out."""
