//! The limit of dollars, the number of requests in flight, and runs that are given up.
