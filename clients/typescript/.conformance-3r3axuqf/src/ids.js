/** Job and request ids: mints UUIDv7s that strictly rise within a process. */
import { randomBytes } from "node:crypto";
const TAIL_BITS = 74n; // what UUIDv7 leaves beside time, version and variant
const TAIL_END = 1n << TAIL_BITS;
const LOW_BITS = 62n;
const LOW_MASK = (1n << LOW_BITS) - 1n;
const POOL_BYTES = 4_096;
let lastMs = 0;
let tail = 0n;
let pool = Buffer.alloc(0);
let poolAt = 0;
/** A UUIDv7 greater than every one minted before in this thread: 36 characters, text order is age order. */
export function newId(now = Date.now()) {
    if (now > lastMs) {
        lastMs = now;
        tail = freshTail();
    }
    else {
        // The same millisecond, or a clock set back: rise by a random step, so that ids stay hard to guess.
        tail += 1n + BigInt(random(4).readUInt32BE());
        if (tail >= TAIL_END) {
            lastMs += 1;
            tail = freshTail();
        }
    }
    const high = (0x7000n | (tail >> LOW_BITS)).toString(16);
    const low = ((2n << LOW_BITS) | (tail & LOW_MASK)).toString(16);
    const time = lastMs.toString(16).padStart(12, "0");
    return `${time.slice(0, 8)}-${time.slice(8)}-${high}-${low.slice(0, 4)}-${low.slice(4)}`;
}
function freshTail() {
    const bytes = random(10);
    // One bit less than there is room for, so that there is always room to rise.
    return ((BigInt(bytes.readUInt16BE(0)) << 64n) | bytes.readBigUInt64BE(2)) & (TAIL_END / 2n - 1n);
}
function random(count) {
    // One call to the system for hundreds of ids: a call for each would cost more than the rest of it.
    if (poolAt + count > pool.length) {
        pool = randomBytes(POOL_BYTES);
        poolAt = 0;
    }
    poolAt += count;
    return pool.subarray(poolAt - count, poolAt);
}
