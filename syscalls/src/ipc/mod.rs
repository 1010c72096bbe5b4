//! Calls of pipes, eventfd, System V IPC and message queues.
