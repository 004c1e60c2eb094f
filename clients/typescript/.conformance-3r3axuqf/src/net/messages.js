/** What the two threads of a worker tell each other: plain data only, for it is copied. Times in ms. */
export {};
