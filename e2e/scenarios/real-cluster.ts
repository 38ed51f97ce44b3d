/**
 * The kubeconfig of a real cluster to play on; undefined: localkube. A KUBECONFIG alone is not enough, it may be that of
 * anyone's production: `npm run e2e` is what also names an image.
 */
export function realKubeconfig(): string | undefined {
  const file = process.env['KUBECONFIG'] ?? '';
  const image = process.env['MAINSTAY_IMAGE'] ?? '';
  return file === '' || image === '' ? undefined : file;
}

export const isReal = realKubeconfig() !== undefined;
