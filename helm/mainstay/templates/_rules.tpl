{{/* Generated from operator/resources/permissions.ts by `npm run generate`. */}}

{{- define "mainstay.workRules" -}}
- apiGroups:
    - mainstay.dev
  resources:
    - storeclusters
  verbs:
    - get
    - list
    - watch
    - patch
- apiGroups:
    - mainstay.dev
  resources:
    - storeclusters/status
  verbs:
    - update
- apiGroups:
    - mainstay.dev
  resources:
    - storeclusters/finalizers
  verbs:
    - update
- apiGroups:
    - mainstay.dev
  resources:
    - storebackups
  verbs:
    - get
    - list
    - watch
    - create
    - delete
- apiGroups:
    - mainstay.dev
  resources:
    - storebackupschedules
  verbs:
    - get
    - list
    - watch
- apiGroups:
    - mainstay.dev
  resources:
    - storebackups/status
    - storebackupschedules/status
  verbs:
    - update
- apiGroups:
    - mainstay.dev
  resources:
    - storebackups/finalizers
    - storebackupschedules/finalizers
  verbs:
    - update
- apiGroups:
    - ''
  resources:
    - pods
    - persistentvolumeclaims
  verbs:
    - list
    - watch
    - create
    - patch
    - delete
- apiGroups:
    - ''
  resources:
    - pods/log
  verbs:
    - get
- apiGroups:
    - ''
  resources:
    - services
  verbs:
    - get
    - create
    - patch
    - delete
- apiGroups:
    - policy
  resources:
    - poddisruptionbudgets
  verbs:
    - get
    - create
    - patch
    - delete
- apiGroups:
    - networking.k8s.io
  resources:
    - networkpolicies
  verbs:
    - get
    - create
    - patch
    - delete
- apiGroups:
    - ''
  resources:
    - secrets
  verbs:
    - get
    - create
    - patch
    - delete
- apiGroups:
    - ''
  resources:
    - events
  verbs:
    - create
{{- end }}

{{- define "mainstay.nodeRules" -}}
- apiGroups:
    - ''
  resources:
    - nodes
  verbs:
    - get
{{- end }}

{{- define "mainstay.leaseRules" -}}
- apiGroups:
    - coordination.k8s.io
  resources:
    - leases
  verbs:
    - get
    - create
    - update
{{- end }}
