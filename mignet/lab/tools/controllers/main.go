// Runs three of Kubernetes' own controllers, and nothing else, for each cluster of a lab: Jobs, their removal after a
// time, and the garbage collector. kube-controller-manager has them, too, but takes minutes to build: all the others,
// volumes and parts of the kubelet come with it.
//
// Usage: controllers KUBECONFIG CONTEXT...
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/job"
	"k8s.io/kubernetes/pkg/controller/ttlafterfinished"
)

const (
	workers = 5
	// The kinds that a cluster serves change when somebody installs an operator.
	discoverEvery = 10 * time.Second
	syncTimeout   = 30 * time.Second
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	for _, cluster := range os.Args[2:] {
		if err := run(ctx, os.Args[1], cluster); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", cluster, err)
			os.Exit(1)
		}
	}
	fmt.Println("Kubernetes' own controllers of Jobs and garbage run")
	<-ctx.Done()
}

// run starts the controllers of one cluster, which work until ctx is done.
func run(ctx context.Context, kubeconfig, cluster string) error {
	rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: kubeconfig}
	chosen := &clientcmd.ConfigOverrides{CurrentContext: cluster}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, chosen).ClientConfig()
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 100, 200
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	metadataClient, err := metadata.NewForConfig(config)
	if err != nil {
		return err
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client.Discovery()))
	go wait.Until(mapper.Reset, discoverEvery, ctx.Done())

	shared := informers.NewSharedInformerFactory(client, 0)
	all := informerfactory.NewInformerFactory(shared, metadatainformer.NewSharedInformerFactory(metadataClient, 0))
	started := make(chan struct{})
	jobs, err := job.NewController(ctx, shared.Core().V1().Pods(), shared.Batch().V1().Jobs(), client)
	if err != nil {
		return err
	}
	expired := ttlafterfinished.New(ctx, shared.Batch().V1().Jobs(), client)
	ignored := garbagecollector.DefaultIgnoredResources()
	garbage, err := garbagecollector.NewGarbageCollector(ctx, client, metadataClient, mapper, ignored, all, started)
	if err != nil {
		return err
	}
	go jobs.Run(ctx, workers)
	go expired.Run(ctx, workers)
	go garbage.Run(ctx, workers, syncTimeout)
	go garbage.Sync(ctx, client.Discovery(), discoverEvery)
	all.Start(ctx.Done())
	close(started)
	return nil
}
