#!/usr/bin/env bash
# The chart on a real cluster: install, helm test, upgrade under load, rollback, uninstall; embedded, then distributed.
# Takes a cluster by KUBECONFIG, or starts one with MARMOT_TOOLS/k8s-cluster.sh, whose images are the local Docker's.
# Not part of .ci/run: the first build of that cluster takes ten minutes. Run it when the chart has changed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd); root=$(cd "$here/../../.." && pwd); cd "$root"
tools=${MARMOT_TOOLS:-$root/../shared/tools}
export PATH="$root/.tools/bin/3:$root/.tools/bin:$PATH"
image=${MARMOT_IMAGE:-marmot-server:test}
work=$(mktemp -d)
step() { printf '\n== %s (%s s)\n' "$*" "$SECONDS"; }
finish() {
  status=$?
  touch "$work/stop"
  if [ "$status" -ne 0 ]; then kubectl get pods -A -o wide || true; kubectl -n marmot get events --sort-by=.lastTimestamp | tail -30 || true; fi
  for release in one many; do helm -n marmot uninstall "$release" >/dev/null 2>&1 || true; done
  [ -z "${started:-}" ] || "$tools/k8s-cluster.sh" down
  rm -rf "$work"
  exit "$status"
}
trap finish EXIT

if [ -z "${KUBECONFIG:-}" ]; then KUBECONFIG=$("$tools/k8s-cluster.sh" up); export KUBECONFIG; started=1; fi
docker tag "$image" marmot-server:trial
cp -r helm/marmot-server "$work/chart"
# A cluster older than the chart asks for still shows how it installs.
[ -z "${started:-}" ] || sed -i '/^kubeVersion:/d' "$work/chart/Chart.yaml"
common=(-n marmot --set image.tag=trial --wait --timeout 300s)
[ -d tests/containers/node_modules ] || (cd tests/containers && npm ci --no-audit --no-fund --loglevel=error)
kubectl create namespace marmot --dry-run=client -o yaml | kubectl apply -f -

# upgrade and rollback RELEASE SERVICE VALUES...: under load, and nothing acknowledged may be missing afterwards.
upgrade_and_back() {
  local release=$1 service=$2 address; shift 2
  address=ws://$(kubectl -n marmot get service "$service" -o jsonpath='{.spec.clusterIP}'):80
  rm -f "$work/stop"
  node "$here/load.mjs" "$address" "$work/stop" > "$work/load.log" 2>&1 & local load=$!
  step "$release: upgrade under load"
  helm upgrade "$release" "$work/chart" "${common[@]}" "$@" --set podAnnotations.upgraded=yes >/dev/null
  step "$release: rollback under load"
  helm -n marmot rollback "$release" 1 --wait --timeout 300s
  touch "$work/stop"
  wait "$load" || { cat "$work/load.log"; return 1; }
  cat "$work/load.log"
}

small=(--set embedded.persistence.size=1Gi --set embedded.resources.requests.cpu=50m --set embedded.resources.requests.memory=128Mi --set origin=wss://relay.example.org)
step "one: install, embedded"
helm install one "$work/chart" "${common[@]}" "${small[@]}" >/dev/null
kubectl -n marmot get pods,svc,pvc
step "one: helm test"
helm -n marmot test one --logs --timeout 300s
upgrade_and_back one one-marmot-server-all "${small[@]}"
step "one: uninstall; its volume stays"
helm -n marmot uninstall one --wait
kubectl -n marmot get pvc data-one-marmot-server-all-0

step "many: stores and secrets"
kubectl -n marmot apply -f "$here/stores.yaml" >/dev/null
head -c 32 /dev/urandom > "$work/owner.secret"
head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' > "$work/notify.key"
kubectl -n marmot create secret generic marmot-db --from-literal=pgpass='*:*:*:marmot:trial'
kubectl -n marmot create secret generic marmot-redis --from-literal=password=trial
kubectl -n marmot create secret generic marmot-s3 --from-literal=access-key=trial --from-literal=secret-key=trialtrial
kubectl -n marmot create secret generic marmot-owner --from-file="$work/owner.secret"
kubectl -n marmot create secret generic marmot-push --from-file="$work/notify.key"
for store in db redis s3; do kubectl -n marmot rollout status "deployment/$store" --timeout=180s; done
step "many: install, distributed, two of each"
helm install many "$work/chart" "${common[@]}" -f "$here/distributed.yaml" >/dev/null
kubectl -n marmot get pods
step "many: helm test"
helm -n marmot test many --logs --timeout 300s
upgrade_and_back many many-marmot-server-relay -f "$here/distributed.yaml"
step "many: uninstall"
helm -n marmot uninstall many --wait
step "done"
