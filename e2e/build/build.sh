#!/bin/sh
# Builds the programs of a Kubernetes cluster from their published Go modules: build.sh FOLDER GROUP...
#   control-plane   kube-apiserver, kube-controller-manager, kubectl, etcd, helm: all that operator and chart tests need
#   nodes           kube-scheduler, kube-proxy, kubelet, coredns: besides these, for pods that really run
# Versions stand in the go.mod files beside this script. The modules of Kubernetes, etcd, CoreDNS and Helm are apart, so
# that the libraries of one are not bound to the pins of another.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
folder=$(mkdir -p "$1" && cd "$1" && pwd)
shift
export CGO_ENABLED=0 GOTOOLCHAIN=local

version=$(sed -n 's,^\tk8s.io/kubernetes v,,p' "$here/kubernetes/go.mod")
package=k8s.io/component-base/version
stamp="-X $package.gitVersion=v$version -X $package.gitMajor=1 -X $package.gitMinor=$(echo "$version" | cut -d. -f2)"
stamp="$stamp -X $package.gitTreeState=clean -X $package.buildDate=1970-01-01T00:00:00Z"

# build MODULE OUTPUT PACKAGE...: the same source gives the same bytes, so no path and no time goes in.
build() {
    module=$1 output=$2
    shift 2
    (cd "$here/$module" && go build -trimpath -ldflags "-s -w $stamp" -o "$output" "$@")
}

for group in "$@"; do
    case $group in
    control-plane)
        build kubernetes "$folder/" k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kube-controller-manager \
            k8s.io/kubernetes/cmd/kubectl
        build etcd "$folder/etcd" go.etcd.io/etcd/server/v3
        build helm "$folder/helm" helm.sh/helm/v4/cmd/helm
        ;;
    nodes)
        build kubernetes "$folder/" k8s.io/kubernetes/cmd/kube-scheduler k8s.io/kubernetes/cmd/kube-proxy \
            k8s.io/kubernetes/cmd/kubelet
        build coredns "$folder/coredns" github.com/coredns/coredns
        ;;
    *)
        echo "build.sh: there is no group $group" >&2
        exit 2
        ;;
    esac
done
