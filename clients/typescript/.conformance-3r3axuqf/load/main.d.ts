/** Measures what the SDK does against a server and prints one JSON line: `node build/load/main.js HOST:PORT [--jobs N]`.
 *
 * enqueue_per_s      jobs a second, of concurrent enqueue() calls that the SDK coalesces
 * enqueue_batch_per_s  of one enqueueBatch()
 * work_per_s         of one worker with a handler that does nothing, from its first job to its last
 */
export {};
