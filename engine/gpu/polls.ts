// How often Dawn looks whether a result is there. While one is owed, dawn.node asks the event loop by the global
// setImmediate to come back at once, again and again: a core at full load for as long as the device computes. Who waits
// for something long says so, and each look then comes after a nap. A sum over devices is awaited for some 30 µs, a
// hundred times a token: who computes one says that there is no time for naps.

/** A token of 5 ms is heard of 2 % later at most, and with turns that run ahead the device does not notice. */
const napMs = 0.1;
/** Elsewhere a nap may take as long as a tick of the system's clock, up to 16 ms. */
const napping = process.platform === "linux";

const nobody = new Int32Array(new SharedArrayBuffer(4));
let calm = 0;
let hurried = 0;
let looks = 0;
let naps = 0;

/** Awaits `work`, most of which is waiting for the device. */
export async function calmly<T>(work: Promise<T>): Promise<T> {
  calm += 1;
  try {
    return await work;
  } finally {
    calm -= 1;
  }
}

/** Awaits `work`, beside which nobody is to nap. */
export async function hurriedly<T>(work: Promise<T>): Promise<T> {
  hurried += 1;
  try {
    return await work;
  } finally {
    hurried -= 1;
  }
}

/** Of this thread, since it began. */
export function pollFigures(): { looks: number; naps: number } {
  return { looks, naps };
}

/** Ahead of Dawn, which calls whatever has the name. Node's own parts have theirs from elsewhere. */
export function calmDawn(): void {
  globalThis.setImmediate = new Proxy(globalThis.setImmediate, {
    apply(own, self, [callback, ...rest]: [(...rest: unknown[]) => void, ...unknown[]]) {
      if (!isNative(callback)) return Reflect.apply(own, self, [callback, ...rest]);
      const calmed = () => {
        look();
        callback(...rest);
      };
      return Reflect.apply(own, self, [calmed]);
    },
  });
}

function look(): void {
  looks += 1;
  if (!napping || calm === 0 || hurried > 0) return;
  naps += 1;
  Atomics.wait(nobody, 0, 0, napMs);
}

/** As Dawn's callback is, and hardly any other: those are called as if nobody stood between. */
function isNative(callback: unknown): boolean {
  return Function.prototype.toString.call(callback).endsWith("{ [native code] }");
}
