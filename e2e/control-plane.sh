#!/usr/bin/env bash
# A real Kubernetes control plane for the e2e tests: etcd, kube-apiserver and kube-controller-manager, made from Debian 12's
# own packages alone (Kubernetes 1.20.2 compiled with Debian's Go 1.19). Asks for no root and installs nothing; about four
# minutes on two cores the first time, nothing afterwards. Prints the folder that holds the three programs.
#
#   e2e/control-plane.sh [FOLDER]      FOLDER is ~/.cache/e2e-control-plane/k8s-1.20.2-r2 unless said otherwise
#
# DEBIAN_MIRROR names a mirror where this machine's apt knows none. Change RECIPE with anything that changes the programs.
set -euo pipefail
export LC_ALL=C
RECIPE=k8s-1.20.2-r2
SUMS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/control-plane.sha256
HOME_OF_IT=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/e2e-control-plane/$RECIPE}
BIN=$HOME_OF_IT/bin
WORK=$HOME_OF_IT/work
KUBERNETES=$WORK/gopath/src/k8s.io/kubernetes
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

say() { printf '%4d s  %s\n' "$SECONDS" "$*" >&2; }
give_up() { printf 'control-plane.sh: %s\n' "$*" >&2; exit 2; }

# The mirror of this machine's own apt: every Debian mirror has every suite, so it has bookworm whatever runs here.
mirror() {
  apt-get indextargets --format '$(REPO_URI) $(COMPONENT) $(CREATED_BY) $(RELEASE)' 2>/dev/null |
    awk '$2 == "main" && $3 == "Packages" && $1 ~ /debian\/?$/ && $4 !~ /security|updates|backports/ {print $1; exit}'
}

# apt with lists, caches and sources of our own, so that the machine's are neither needed nor touched.
private_apt() {
  apt-get -q -o Dir::Etc::SourceList="$WORK/apt/sources.list" -o Dir::Etc::SourceParts=- \
    -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
    -o Dir::State::Lists="$WORK/apt/lists" -o Dir::Cache="$WORK/apt/cache" \
    -o Acquire::Languages=none -o Acquire::Retries=3 -o APT::Sandbox::User= "$@" >&2
}

fetch() {
  local uri=${DEBIAN_MIRROR:-$(mirror)}
  [ -r $KEYRING ] && [ -n "$uri" ] && [ "$(dpkg --print-architecture)" = amd64 ] ||
    give_up "needs Debian on amd64 with its archive keyring; elsewhere set KUBEBUILDER_ASSETS to a folder with envtest's etcd and kube-apiserver"
  mkdir -p "$WORK"/{inputs,root,apt/lists/partial,apt/cache/archives/partial}
  printf '%s [signed-by=%s] %s bookworm main\n' deb $KEYRING "$uri" deb-src $KEYRING "$uri" > "$WORK/apt/sources.list"
  private_apt update
  cd "$WORK/inputs"
  private_apt source --download-only kubernetes
  private_apt download golang-1.19-go golang-1.19-src etcd-server golang-github-modern-go-reflect2-dev
  compgen -G 'kubernetes_1.20.5+really1.20.2-*.dsc' >/dev/null || give_up "bookworm's kubernetes is 1.20.2 no more: this recipe needs revising"
  for package in *.deb; do dpkg-deb -x "$package" "$WORK/root"; done
  mkdir -p "$KUBERNETES"
  tar xzf kubernetes_*.orig.tar.gz --strip-components=1 -C "$KUBERNETES" # Debian's patches concern kubectl alone
}

# What Kubernetes 1.20 needs before a Go from 1.18 on compiles it into something that works.
mend() {
  # reflect2 1.0.1 makes kube-apiserver crash at the first custom resource; Debian has 1.0.2.
  rm -rf "$KUBERNETES/vendor/github.com/modern-go/reflect2"
  cp -r "$WORK/root/usr/share/gocode/src/github.com/modern-go/reflect2" "$KUBERNETES/vendor/github.com/modern-go/"
  # Else every empty string in a custom resource is refused as "null".
  local checker=$KUBERNETES/vendor/k8s.io/kube-openapi/pkg/validation/validate/type.go
  sed -i 's/if data == nil || reflect.DeepEqual(reflect.Zero(reflect.TypeOf(data)), reflect.ValueOf(data)) {/if data == nil {/' "$checker"
  grep -q 'if data == nil {' "$checker" || give_up "the line about empty strings was not found in $checker"
}

# The one generated file that Debian's source package leaves out.
generate_openapi() {
  "$GO" build -o "$WORK/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
  local tagged # grep answers 1 for a batch of files without a hit, which xargs reports as its own failure
  tagged=$(find -L vendor/k8s.io pkg plugin cmd -name '*.go' -not -path 'vendor/k8s.io/code-generator/*' -not -path 'vendor/k8s.io/sample-apiserver/*' -print0 |
    { xargs -0 grep -l '^// *+k8s:openapi-gen=' || true; } | xargs -n1 dirname | sort -u | sed 's,^,k8s.io/kubernetes/,' | paste -sd,)
  "$WORK/openapi-gen" --logtostderr -i "$tagged" -p k8s.io/kubernetes/pkg/generated/openapi -O zz_generated.openapi \
    -h vendor/k8s.io/code-generator/hack/boilerplate.go.txt -r "$WORK/violations"
}

compile() {
  export GOROOT=$WORK/root/usr/lib/go-1.19 GOPATH=$WORK/gopath GOCACHE=$WORK/gocache
  export GOENV=off GO111MODULE=off CGO_ENABLED=0 GOFLAGS=-trimpath
  GO=$GOROOT/bin/go
  cd "$KUBERNETES"
  generate_openapi
  say "openapi definitions generated"
  local flags="-s -w" package
  for package in k8s.io/client-go/pkg/version k8s.io/component-base/version; do
    package=k8s.io/kubernetes/vendor/$package
    flags+=" -X $package.gitVersion=v1.20.2 -X $package.gitMajor=1 -X $package.gitMinor=20"
    flags+=" -X $package.gitTreeState=clean -X $package.buildDate=2021-01-13T13:20:00Z"
  done
  "$GO" build -tags providerless -ldflags "$flags" -o "$BIN/" ./cmd/kube-apiserver ./cmd/kube-controller-manager
  install -m 755 "$WORK/root/usr/bin/etcd" "$BIN/etcd"
}

# Equal packages give equal programs, bit by bit. A Debian update of Go gives others, which is no fault.
compare_sums() {
  cd "$HOME_OF_IT"
  sha256sum work/inputs/*.deb work/inputs/*.orig.tar.gz bin/etcd bin/kube-* > sums
  if ! grep ' work/' "$SUMS" 2>/dev/null | sha256sum --check --status 2>/dev/null; then
    say "Debian's packages are not those of $SUMS: the programs are not compared with it (theirs: $HOME_OF_IT/sums)"
  elif ! grep ' bin/' "$SUMS" | sha256sum --check --quiet >&2; then
    give_up "equal packages gave other programs than $SUMS records"
  fi
}

if [ ! -e "$BIN/.ok" ]; then
  mkdir -p "$BIN"
  exec 9> "$HOME_OF_IT/lock"
  flock 9 # two test runs at once: the second waits for the first
fi
if [ ! -e "$BIN/.ok" ]; then
  rm -rf "$WORK"
  fetch; say "packages are here"
  mend
  compile; say "compiled"
  compare_sums
  cd /
  chmod -R u+w "$WORK" # Go's own folders are read-only
  rm -rf "$WORK"
  : > "$BIN/.ok"
  say "done"
fi
echo "$BIN"
