/** What a worker decides without I/O: outcomes, decoding, the window, when settles are sent. */
export {};
