/** The network thread of a worker: wires its parts, and owns the order in which they start and stop.
 *
 * It is a thread because a handler may block the event loop it runs on: leases are extended, losses seen, settles sent
 * and the drain timed all the same.
 */
export {};
