/** What may or may not have come by now. Its failure is for whoever awaits it. */
export function pending<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

/** Undefined when it takes longer. 0: what is there already. */
export async function settledWithin<T>(promise: Promise<T>, ms: number): Promise<T | undefined> {
  let stop = () => {};
  const over = new Promise<undefined>((resolve) => {
    if (ms === 0) setImmediate(resolve, undefined);
    else {
      const timer = setTimeout(resolve, ms, undefined);
      stop = () => clearTimeout(timer);
    }
  });
  try {
    return await Promise.race([promise, over]);
  } finally {
    stop();
  }
}
