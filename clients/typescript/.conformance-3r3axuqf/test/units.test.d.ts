/** What is decided without I/O: ids, durations, targets, jobs, errors, batches, repeats. */
export {};
