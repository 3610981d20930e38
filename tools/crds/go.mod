// Pins the operators' own definitions that tests hold exported and documented objects against. Nothing is built of them.
module migration-network/tools/crds

go 1.26.3

require (
	github.com/argoproj/argo-cd/v3 v3.5.7
	github.com/prometheus-operator/prometheus-operator v0.85.0
)
