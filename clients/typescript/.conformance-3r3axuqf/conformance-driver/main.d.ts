/** Drives the SDK for the conformance kit: commands on stdin, events on stdout, as clients/conformance/PROTOCOL.md says.
 *
 * The worker and its handlers live in a thread of their own: one of them blocks its event loop, and the commands are
 * read all the same.
 */
export {};
