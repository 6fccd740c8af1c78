# shellcheck shell=bash
# shellcheck disable=SC2154  # work and here are the caller's
# Sourced by run: the Helm chart, rendered for each file in values/.

chart=helm/hooksluice
crds=$run/ships/crds
oldest=1.27 newest=1.37 # the chart's kubeVersion, and the newest whose schemas we have

# The environment must not choose a cluster for helm to ask.
export KUBECONFIG=/dev/null

render() { helm template hooks $chart --namespace webhooks -f "$here/values/$1.yaml" "${@:2}"; }
manifest() { render "$1" "${@:3}" | python -c '
import sys, json, yaml
found = [d for d in yaml.safe_load_all(sys.stdin) if d and d["kind"] == sys.argv[1]]
print(json.dumps(found[0] if found else None))' "$2"; } # VALUES KIND [ARGUMENT...]: as JSON
has() { manifest "$1" "$2" "${@:4}" | jq -e "$3"; } # VALUES KIND JQ [ARGUMENT...]
valid() { render "$1" >"$work/manifests.yaml" && python "$here"/kubernetes.py "$crds" "$2" <"$work/manifests.yaml"; }

it "helm lint has nothing to say" helm lint --strict $chart
for values in "$here"/values/*.yaml; do
  name=$(basename "$values" .yaml)
  for version in $oldest $newest; do
    it "rendered with $name values, it meets the schemas of Kubernetes $version" valid "$name" "$version"
  done
done
broken() { render journal >"$work/good.yaml" && sed "$1" "$work/good.yaml" >"$work/broken.yaml" && python "$here"/kubernetes.py "$crds" $newest <"$work/broken.yaml"; }
it "a key that Kubernetes does not know is found" says readinesProbe broken 's/readinessProbe:/readinesProbe:/'
it "a wrong type in the ServiceMonitor is found" says interval broken 's/interval: 30s/interval: 30/'

it "with a journal it is a StatefulSet whose volumes outlive scale-down and uninstall" has journal StatefulSet \
  '.spec.persistentVolumeClaimRetentionPolicy == {whenDeleted: "Retain", whenScaled: "Retain"} and .spec.volumeClaimTemplates[0].spec.resources.requests.storage == "50Gi"'
it "with a journal there is no Deployment" has journal Deployment '. == null'
it "without one it is a Deployment" has broker-only Deployment '.spec.template.spec.containers[0].volumeMounts | map(.name) | index("journal") == null'
it "without a journal the config switches it off" has broker-only ConfigMap '.data["hooksluice.yaml"] | test("journal: \"off\"")'
it "without a journal there is no StatefulSet" has broker-only StatefulSet '. == null'
it "with an autoscaler the Deployment leaves the replicas to it" has broker-only Deployment '.spec | has("replicas") | not'
journal_with_autoscaler() { render journal --set autoscaling.enabled=true "$@"; }
it "an autoscaler over journals is refused by the values' schema" says "autoscaling" journal_with_autoscaler
it "an autoscaler over journals is refused by the template too" says "leave its spooled events behind" journal_with_autoscaler --skip-schema-validation
it "a source without a destination is refused without a journal" says "config.sources.local has no destination" render journal --set journal.enabled=false

for kind_values in "StatefulSet journal" "Deployment broker-only"; do
  read -r kind values <<<"$kind_values"
  it "the $kind meets Kubernetes' restricted pod security" has "$values" "$kind" '.spec.template.spec
    | .securityContext.runAsNonRoot and .securityContext.seccompProfile.type == "RuntimeDefault" and .automountServiceAccountToken == false
      and (.containers | all(.securityContext.allowPrivilegeEscalation == false and .securityContext.readOnlyRootFilesystem
        and .securityContext.capabilities == {drop: ["ALL"]} and (.securityContext.privileged | not)))
      and (.hostNetwork | not) and (.volumes | all(has("configMap") or has("secret")))'
  it "the $kind has its three probes, on the admin port" has "$values" "$kind" '.spec.template.spec.containers[0]
    | .startupProbe.httpGet.path == "/livez" and .livenessProbe.httpGet.path == "/livez" and .readinessProbe.httpGet.path == "/readyz"
      and all(.startupProbe, .livenessProbe, .readinessProbe; .httpGet.port == "admin")'
done
it "the pod is given the time to drain and to finish" has journal StatefulSet '.spec.template.spec.terminationGracePeriodSeconds == 20 + 20 + 30'
it "config is mounted as a directory, so that a change is followed" has journal StatefulSet '.spec.template.spec.containers[0].volumeMounts | all(has("subPath") | not)'
it "secrets are references to existing ones" has journal StatefulSet '.spec.template.spec
  | (.containers[0].env | any(.name == "LOCAL_SECRET" and .valueFrom.secretKeyRef == {name: "webhooks", key: "local"})) and (.volumes | any(.secret.secretName == "webhooks"))'
it "the chart makes no Secret" has journal Secret '. == null'
it "the disruption budget lets one pod go at a time" has defaults PodDisruptionBudget '.spec.maxUnavailable == 1'
it "metrics have a Service that no load balancer shows" has journal ServiceMonitor '.spec.selector.matchLabels["app.kubernetes.io/component"] == "admin"'
it "optional parts are off by default" has defaults ServiceMonitor '. == null'

bad() { render journal "$@"; }
it "the values' schema refuses a misspelt key" says "replicass" bad --set replicass=3
it "the values' schema refuses a misspelt nested key" says "siz" bad --set journal.siz=3Gi
it "the values' schema refuses a wrong type" says "replicas" bad --set replicas=many
it "the values' schema refuses a size that is none" says "size" bad --set journal.size=big
it "the values' schema refuses a port out of range" says "port" bad --set service.port=70000
it "the values' schema refuses a source without a provider" says "provider" bad --set config.sources.github=null --set config.sources.new.path=/new
it "the values' schema refuses a listen address, which is the chart's" says "ingress" bad --set config.ingress.listen=1.2.3.4:5
it "the values' schema refuses a secret reference without its key" says "key" bad --set 'secrets.env[0].key=null'
it "the values' schema refuses an ingress without a host" says "hosts" bad --set 'ingress.hosts=null'

documented() { # every value at the top of values.yaml is in the README's table
  local key
  while read -r key; do
    grep -q "^| \`${key}[\`.]" $chart/README.md || { echo "$key is not in the README"; return 1; }
  done < <(sed -n 's/^\([a-zA-Z]*\):.*/\1/p' $chart/values.yaml)
}
it "the chart's README names every value" documented
