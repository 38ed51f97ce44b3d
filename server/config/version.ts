/**
 * The etcd release whose API this store speaks: what `Status.version`, `/version` and `--version` carry. Kubernetes and
 * Patroni parse it, so it stays a plain x.y.z.
 */
export const compatibilityVersion = '3.6.5';

/** etcd's cluster version and storage version: major and minor of {@link compatibilityVersion}. */
export const clusterVersion = '3.6.0';

/** Mainstay's own version; equal to the package's. */
export const mainstayVersion = '0.2.0';
